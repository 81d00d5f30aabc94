from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.integrations.ray.request import check_company, is_proxy_variable, read_egress

WEB = {"network": "http", "domains": [".b.test", "a.test"]}


def refusal(env: Mapping[str, object], *, agent_is_gated: bool = False) -> str:
    try:
        check_company(env, agent_is_gated=agent_is_gated)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("env", [{}, {"egress": None}, {"pip": ["x"]}], ids=["empty", "none", "other"])
def test_environment_without_the_field_asks_for_nothing(env: dict[str, object]) -> None:
    assert read_egress(env) is None
    assert refusal(env) == ""


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        pytest.param(WEB, {"network": "http", "domains": [".b.test", "a.test"]}, id="http"),
        pytest.param({"domains": ["a.test"]}, {"network": "http", "domains": ["a.test"]}, id="implied"),
        # which the gateway refuses: at least one domain
        pytest.param({"domains": []}, {"network": "http", "domains": []}, id="implied-by-an-empty-list"),
        pytest.param({}, {"network": "none"}, id="nothing-said"),
        pytest.param({"network": "full"}, {"network": "full"}, id="full"),
        pytest.param(
            {
                "domains": ("a.test", "a.test"),
                "rate": "1mbit",
                "rate_up": 5,
                "tls": "any",
                "deny": ["b.a.test"],
            },
            {
                "network": "http",
                "domains": ["a.test"],
                "deny": ["b.a.test"],
                "rate_up": 5,
                "rate_down": "1mbit",
                "tls": "any",
            },
            id="everything",
        ),
    ],
)
def test_field_is_read(value: Mapping[str, object], settings: Mapping[str, object]) -> None:
    egress = read_egress({"egress": value})
    assert egress is not None
    assert (egress.network, egress.settings) == (settings["network"], settings)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param("http", "egress: expected a table", id="text"),
        pytest.param({"networks": "http"}, "egress.networks: unknown key; known are network", id="unknown"),
        pytest.param({"token": "x"}, "egress.token: unknown key", id="not-the-job's"),
        pytest.param({"max_members": 9}, "egress.max_members: unknown key", id="not-the-job's-either"),
        pytest.param({"network": "web"}, "egress.network: expected one of: none, http, full", id="network"),
        pytest.param({"domains": "a.test"}, "egress.domains: expected a list of texts", id="one-text"),
        pytest.param({"domains": [1]}, "egress.domains: expected a list of texts", id="number"),
        pytest.param(WEB | {"rate": True}, "egress.rate: expected a text or a number", id="rate"),
        pytest.param(
            {"network": "full", "domains": ["a.test"]},
            'egress.domains: only for network "http", not for "full": leave it out',
            id="full-with-domains",
        ),
        pytest.param(
            {"network": "none", "rate": 5}, 'egress.rate_up: only for network "http"', id="none-rate"
        ),
    ],
)
def test_what_is_wrong_is_said(value: object, message: str) -> None:
    with pytest.raises(ValueError, match="egress") as caught:
        read_egress({"egress": value})
    assert str(caught.value).startswith(message)


def test_equal_policies_have_one_uri_and_others_have_others() -> None:
    def uri(value: object) -> str:
        egress = read_egress({"egress": value})
        assert egress is not None
        return egress.uri

    assert uri(WEB) == uri({"domains": ["a.test", ".b.test", "a.test"]})
    assert uri(WEB).startswith("egress://")
    assert len({uri(WEB), uri({}), uri(WEB | {"tls": "any"}), uri({"domains": ["a.test"]})}) == 4


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_any_value_is_read_or_refused(value: object) -> None:
    said = refusal({"egress": value})
    assert said == "" or said.startswith("egress")


@pytest.mark.parametrize("field", ["image_uri", "container"])
def test_Ry10_container_is_refused_and_env_vars_named(field: str) -> None:
    said = refusal({"egress": WEB, field: "registry.example/x"}, agent_is_gated=True)
    assert said.startswith(f"{field}: Ray starts the container without what egress sets")
    assert "env_vars" in said


LOADED: list[dict[str, object]] = [
    {"pip": ["x"]},
    {"uv": ["x"]},
    {"conda": {"dependencies": ["x"]}},
    {"working_dir": "https://a.test/x.zip"},
    {"py_modules": ["gcs://_ray_pkg_1.zip", "s3://bucket/x.zip"]},
]


@pytest.mark.parametrize("env", LOADED, ids=lambda env: next(iter(env)))
def test_Ry9_what_the_agent_loads_is_refused_unless_it_has_a_gate(env: dict[str, object]) -> None:
    said = refusal({"egress": WEB, **env})
    assert said.startswith(f"{next(iter(env))}: Ray's agent loads this from the network itself")
    assert refusal({"egress": WEB, **env}, agent_is_gated=True) == ""
    assert refusal({"egress": {"network": "full"}, **env}) == ""
    assert refusal(env) == ""


def test_Ry9_way_around_the_agents_gate_is_refused() -> None:
    env = {"egress": WEB, "pip": ["x"], "env_vars": {"A": "b", "NO_PROXY": "*"}}
    assert refusal(env, agent_is_gated=True).startswith("env_vars.NO_PROXY: would lead Ray's agent around")
    assert refusal({"egress": WEB, "env_vars": {"NO_PROXY": "*"}}) == ""


@pytest.mark.parametrize(
    "env",
    [{"working_dir": "gcs://_ray_pkg_1.zip"}, {"py_modules": ["gcs://_ray_pkg_1.zip"]}, {"pip": []}],
    ids=["working_dir", "py_modules", "empty"],
)
def test_what_the_driver_uploaded_may_be_there(env: dict[str, object]) -> None:
    assert refusal({"egress": WEB, **env}) == ""


def test_proxy_variables_are_known_in_either_case() -> None:
    found = [
        name for name in ("http_proxy", "ALL_PROXY", "no_grpc_proxy", "PROXY", "A") if is_proxy_variable(name)
    ]
    assert found == ["http_proxy", "ALL_PROXY", "no_grpc_proxy"]
