from __future__ import annotations

import pytest
from multidict import MultiDict

from jobgate.gateway.api.parameters import (
    ADDRESS,
    AFTER,
    FORM,
    JOB,
    LABEL,
    LIMIT,
    LINES,
    SUFFIX,
    TOP,
    Parameter,
    check_names,
)
from jobgate.gateway.api.problems import BadRequest


def query(*texts: str, name: str = "limit") -> MultiDict[str]:
    return MultiDict([(name, text) for text in texts])


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (LIMIT, "1", 1),
        (LIMIT, "500", 500),
        (LINES, "1000", 1000),
        (TOP, "007", 7),
        (AFTER, "train-42", "train-42"),
        (FORM, "toml", "toml"),
        (JOB, "a.b_c", "a.b_c"),
        (ADDRESS, "[2001:db8::1]:3128", "[2001:db8::1]:3128"),
        (LABEL, "team=", "team="),
        (SUFFIX, "Example.COM", "example.com"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_parameter_is_read(parameter: Parameter[object], text: str, value: object) -> None:
    given = query(text, name=parameter.name)
    assert (parameter.all_of(given) if parameter.repeated else [parameter.of(given)]) == [value]


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (LIMIT, "0"),
        (LIMIT, "501"),
        (LIMIT, "-1"),
        (LIMIT, "1.0"),
        (LIMIT, "٣"),
        (LIMIT, ""),
        (LIMIT, "1\n"),
        (LIMIT, "9" * 5000),
        (AFTER, "a/b"),
        (AFTER, "a\n"),
        (FORM, "xml"),
        (FORM, "json|toml"),
        (JOB, ""),
        (ADDRESS, "http://gate:1"),
        (LABEL, "=x"),
        (SUFFIX, "com"),
        (SUFFIX, "*.example.com"),
        (SUFFIX, "example.com:80"),
        (SUFFIX, "a.1"),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, str) else value.name,
)
def test_parameter_that_is_something_else_is_named(parameter: Parameter[object], text: str) -> None:
    with pytest.raises(BadRequest, match=f"^The parameter {parameter.name} is wrong: "):
        parameter.all_of(query(text, name=parameter.name))


def test_absent_parameter_has_its_default() -> None:
    assert (LIMIT.of(query()), LABEL.all_of(query(name="label"))) == (100, [])


def test_parameter_is_given_once() -> None:
    with pytest.raises(BadRequest, match="limit is there 2 times"):
        LIMIT.of(query("1", "2"))


def test_unknown_parameter_is_named_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match=r"^Unknown parameter 'limmit': those here are: after, limit\.$"):
        check_names(query("1", name="limmit"), ["limit", "after"])
    with pytest.raises(BadRequest, match="there are none here"):
        check_names(query("1"), [])
