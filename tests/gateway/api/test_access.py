from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobgate.gateway.api.access import Guard, TokenError, read_token
from jobgate.gateway.api.problems import ApiProblem

TOKEN = "0123456789abcdef"


def guard(token: str | None = TOKEN, *, is_network: bool = True) -> Guard:
    return Guard(token, is_network=is_network, is_public=lambda path: path == "/healthz")


def written(folder: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = folder / "token"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o600, 0o400], ids=oct)
def test_token_is_the_line_of_its_file(mode: int, tmp_path: Path) -> None:
    assert read_token(written(tmp_path, f"{TOKEN}\n", mode)) == TOKEN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777], ids=oct)
def test_token_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = written(tmp_path, TOKEN, mode)
    with pytest.raises(
        TokenError, match=rf"^{path}: others can read it \(mode {mode:04o}\): chmod 600 {path}$"
    ):
        read_token(path)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "0123456789abcde", f"{TOKEN} {TOKEN}", f"{TOKEN}\n{TOKEN}", "é" * 20, "a" * 5000, b"\0" * 20],
    ids=["empty", "blank", "short", "two-words", "two-lines", "not-ascii", "long", "nul"],
)
def test_token_that_is_none_is_refused_without_being_shown(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="expected one line of at least 16 visible ASCII") as caught:
        read_token(written(tmp_path, text))
    assert "0123" not in str(caught.value)


def test_token_file_that_is_none_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(TokenError, match="fifo: not a file"):
        read_token(str(tmp_path / "fifo"))
    with pytest.raises(TokenError, match="gone: cannot be read: No such file or directory"):
        read_token(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN}", None),
        ("", "unauthorized"),
        ("Bearer", "unauthorized"),
        (f"Bearer {TOKEN}x", "unauthorized"),
        (f"Bearer {TOKEN[:-1]}", "unauthorized"),
        (f"Basic {TOKEN}", "unauthorized"),
        (TOKEN, "unauthorized"),
        ("Bearer \udcff\udcfe", "unauthorized"),
    ],
    ids=["right", "case", "none", "no-token", "longer", "shorter", "scheme", "no-scheme", "bytes"],
)
def test_token_decides(authorization: str, reason: str | None) -> None:
    headers = {"Host": "127.0.0.1:9900", "Authorization": authorization}
    if reason is None:
        guard().check("PUT", "/v1/jobs/a", headers)
        return
    with pytest.raises(ApiProblem) as caught:
        guard().check("PUT", "/v1/jobs/a", headers)
    assert (caught.value.status, caught.value.reason) == (401, reason)
    assert caught.value.headers["WWW-Authenticate"].startswith('Bearer realm="jobgate"')
    assert TOKEN not in caught.value.detail


def test_public_paths_need_no_token() -> None:
    guard().check("GET", "/healthz", {"Host": "localhost"})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9900", "[::1]:9900", "[::1]", "localhost", "LOCALHOST:80", "192.0.2.7:1"]
)
def test_host_is_an_address(host: str) -> None:
    guard(None).check("GET", "/v1/jobs", {"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":9900",
        "evil.example",
        "evil.example:9900",
        "127.0.0.1.evil.example",
        "[::1].evil.example",
        "localhost.evil.example",
        "127.0.0.1:9900:x",
        "0x7f.1",
    ],
)
def test_host_that_is_a_name_may_have_been_rebound(host: str) -> None:
    for path in ("/v1/jobs", "/healthz"):
        with pytest.raises(ApiProblem) as caught:
            guard(None).check("GET", path, {"Host": host})
        assert (caught.value.status, caught.value.reason) == (403, "host")


@pytest.mark.parametrize(
    "host", ["", "localhost", "localhost:9900", "127.0.0.1:9900", "[::1]:9900", "jobgate", "d"]
)
def test_client_of_a_unix_socket_writes_any_word(host: str) -> None:
    guard(None, is_network=False).check("PUT", "/v1/jobs/a", {"Host": host})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "0x7f.1"])
def test_forwarded_unix_socket_may_have_a_rebound_name(host: str) -> None:
    with pytest.raises(ApiProblem) as caught:
        guard(None, is_network=False).check("GET", "/v1/jobs", {"Host": host})
    assert (caught.value.status, caught.value.reason) == (403, "host")


@pytest.mark.parametrize(
    "fields", [{"Origin": "http://localhost:9900"}, {"Sec-Fetch-Site": "same-origin"}], ids=["origin", "site"]
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_page_in_a_browser_changes_nothing_without_a_token(method: str, fields: dict[str, str]) -> None:
    given = {"Host": "localhost:9900", **fields}
    tokenless = guard(None, is_network=False)
    tokenless.check("GET", "/v1/jobs", given)
    with pytest.raises(ApiProblem) as caught:
        tokenless.check(method, "/v1/jobs/a", {**given, "Authorization": f"Bearer {TOKEN}"})
    assert (caught.value.status, caught.value.reason) == (403, "no-token")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:9900"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8080"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
    ids=[
        "none",
        "own",
        "own-by-metadata",
        "typed",
        "other",
        "port",
        "null",
        "empty",
        "broken",
        "cross",
        "site",
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_page_of_another_origin_cannot_change_anything(
    method: str, headers: dict[str, str], allowed: bool
) -> None:
    given = {"Host": "127.0.0.1:9900", "Authorization": f"Bearer {TOKEN}", **headers}
    guard().check("GET", "/v1/jobs", given)
    if allowed:
        guard().check(method, "/v1/jobs/a", given)
        return
    with pytest.raises(ApiProblem) as caught:
        guard().check(method, "/v1/jobs/a", given)
    assert (caught.value.status, caught.value.reason) == (403, "origin")
