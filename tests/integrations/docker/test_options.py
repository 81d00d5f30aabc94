from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.integrations.docker.options import (
    LETTERS,
    SWITCHES,
    VALUED,
    CommandLine,
    CommandLineError,
    Option,
    parse,
)

#: Of the help alone.
NOT_OURS = {"help"}
_HELP_LINE = re.compile(
    r"^ +(?:-(?P<letter>[a-zA-Z]), )?--(?P<name>[a-z0-9-]+)(?P<value> [a-z<]\S*)?(?:  |$)", re.M
)


@pytest.mark.parametrize(
    ("words", "options", "image", "command"),
    [
        ("alpine", [], "alpine", ()),
        ("alpine ls -v /x --privileged", [], "alpine", ("ls", "-v", "/x", "--privileged")),
        ("-it alpine", [("interactive", "true"), ("tty", "true")], "alpine", ()),
        ("-itv /a:/b alpine", [("interactive", "true"), ("tty", "true"), ("volume", "/a:/b")], "alpine", ()),
        ("-v/a:/b alpine", [("volume", "/a:/b")], "alpine", ()),
        ("-eA=1 -e=B=2 -e C=3 alpine", [("env", "A=1"), ("env", "B=2"), ("env", "C=3")], "alpine", ()),
        ("--init --rm=false alpine", [("init", "true"), ("rm", "false")], "alpine", ()),
        ("-t=false alpine", [("tty", "false")], "alpine", ()),
        ("--name x alpine", [("name", "x")], "alpine", ()),
        ("--name=x=y alpine", [("name", "x=y")], "alpine", ()),
        ("--name --rm alpine", [("name", "--rm")], "alpine", ()),
        ("--init -- alpine -x", [("init", "true")], "alpine", ("-x",)),
        ("alpine -- x", [], "alpine", ("--", "x")),
    ],
)
def test_words_are_split_as_the_client_splits_them(
    words: str, options: list[tuple[str, str]], image: str, command: tuple[str, ...]
) -> None:
    expected = CommandLine(tuple(Option(*option) for option in options), image, command)
    assert parse(words.split(" ")) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no image"),
        (["--rm"], "no image"),
        (["--"], "no image"),
        ([""], "no image"),
        (["--name"], "--name: needs a value"),
        (["-v"], "-v: needs a value"),
        (["--unheard-of", "x", "alpine"], "--unheard-of: not an option that jobgate knows"),
        (["--unheard-of=x", "alpine"], "--unheard-of: not an option that jobgate knows"),
        (["-z", "alpine"], "-z: not an option that jobgate knows"),
        (["--priv", "alpine"], "--priv: not an option that jobgate knows"),
        (["--", "--privileged", "alpine"], '"--privileged": no image has such a name'),
        (["-it", "--", "-v/:/host", "alpine"], '"-v/:/host": no image has such a name'),
        (["--", "--", "alpine"], '"--": no image has such a name'),
        (["-", "alpine"], '"-": no image has such a name'),
    ],
)
def test_what_cannot_be_read_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(CommandLineError, match=message):
        parse(words)


@given(
    st.lists(
        st.sampled_from(sorted(SWITCHES | VALUED)).flatmap(
            lambda name: st.builds(Option, st.just(name), st.text("ab-= :/", min_size=1))
        )
    ),
    st.lists(st.text("ab-=", min_size=1)),
)
def test_options_written_as_words_read_the_same(options: list[Option], command: list[str]) -> None:
    words = [word for option in options for word in option.words]
    assert parse([*words, "image", *command]) == CommandLine(tuple(options), "image", tuple(command))


@given(st.lists(st.text("-abtv=/ e", max_size=6), max_size=6))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        line = parse(words)
    except CommandLineError:
        return
    assert line.image
    assert words[len(words) - len(line.command) :] == list(line.command)


@pytest.mark.parametrize(
    ("value", "on"), [("true", True), ("1", True), ("false", False), ("0", False), ("F", False), ("x", True)]
)
def test_switch_is_off_only_where_the_client_says_so(value: str, on: bool) -> None:
    assert Option("privileged", value).on == on


@pytest.mark.parametrize("client", ["docker", "podman"])
def test_every_option_of_the_client_is_known_for_what_it_is(client: str) -> None:
    path = shutil.which(client)
    if path is None:
        pytest.skip(f"{client} is not installed")
    shown = subprocess.run([path, "run", "--help"], capture_output=True, text=True, check=True).stdout
    found = [match for match in _HELP_LINE.finditer(shown) if match["name"] not in NOT_OURS]
    assert len(found) > 80
    wrong = [m["name"] for m in found if m["name"] not in (VALUED if m["value"] else SWITCHES)]
    assert wrong == []
    assert {m["letter"]: m["name"] for m in found if m["letter"]}.items() <= LETTERS.items()
