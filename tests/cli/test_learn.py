from __future__ import annotations

import pytest

from jobgate.cli import call


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'CMD [ARG]...'."),
        (["--suffix", "com", "true"], '--suffix: "com": a suffix has at least two labels'),
        (["--suffix", "192.0.2.7", "true"], '--suffix: "192.0.2.7": a suffix has at least two labels'),
        (["--suffix", "a..b", "true"], '--suffix: "a..b"'),
        (["--log", "-", "true"], "--log: standard output belongs to the job"),
        (["--network", "full", "true"], "No such option '--network'"),
    ],
    ids=["no command", "one label", "an address", "no name", "log to standard output", "network"],
)
def test_usage_error_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["learn", *arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert said in shown.err
