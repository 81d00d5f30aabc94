from __future__ import annotations

from jobgate.config.load import load_text
from jobgate.config.pattern import parse_pattern
from jobgate.config.rule import parse_rule
from jobgate.integrations.allowlist import Allowlist, Refused, Source, Taken, as_report, as_toml

PATTERN = parse_pattern(r"regex:^a[0-9]\.example\.com$")


def sample() -> Allowlist:
    imported = Allowlist(notes=("all is different",))
    imported.add(
        [
            Taken(Source("l:1", "example.com"), parse_rule("example.com")),
            Taken(Source("l:2", r".*\.example\.net"), parse_rule(".example.net"), ("more", "and more")),
            Taken(Source("l:3", "again"), parse_rule("EXAMPLE.com")),
            Taken(Source("l:4", "it's"), PATTERN),
            Taken(Source("l:5", "192.0.2.7"), parse_rule("192.0.2.7")),
            Refused(Source("l:6", "evil\n]\nallow = ['x.com']\x1b"), "why"),
        ]
    )
    return imported


def test_toml_reads_as_the_list_that_was_imported() -> None:
    text = as_toml(sample(), "title")
    settings = load_text(text)
    assert settings.node.allow == sample().rules()
    assert settings.node.allow is not None
    assert settings.node.allow.entries() == ["example.com", ".example.net", "192.0.2.7", str(PATTERN)]


def test_toml_shows_sources_changes_and_refusals_on_lines_of_their_own() -> None:
    lines = as_toml(sample(), "title").splitlines()
    assert lines == [
        "# title",
        "[node]",
        'networks = ["none", "http"]',
        "allow = [",
        '    "example.com",',
        r"""    ".example.net",  # l:2 '.*\.example\.net': more; and more""",
        f"""    '{PATTERN}',  # l:4 "it's": a regular expression, which only this list may have""",
        '    "192.0.2.7",',
        r"""    # refused: l:6 "evil\n]\nallow = ['x.com']\u001b": why""",
        "]",
    ]


def test_name_of_a_file_does_not_leave_its_line() -> None:
    name = 'a\n]\nallow_addresses = ["10.0.0.1"]\nx = [\x1b[31m'
    imported = Allowlist()
    imported.add(
        [
            Taken(Source(f"{name}:1", "a.example"), parse_rule("a.example"), ("more",)),
            Refused(Source(f"{name}:2", "x"), "why"),
        ]
    )
    text = as_toml(imported, f"from {name}")
    assert [line[:6] for line in text.splitlines()] == [
        '# "fro',
        "[node]",
        "networ",
        "allow ",
        '    "a',
        "    # ",
        "]",
    ]
    assert all(line.isprintable() for line in [*text.splitlines(), *as_report(imported)])


def test_empty_list_stays_a_list_that_allows_nothing() -> None:
    allowed = load_text(as_toml(Allowlist(), "nothing")).node.allow
    assert allowed is not None
    assert allowed.entries() == []


def test_report_counts_and_names() -> None:
    assert as_report(sample()) == [
        "4 entries taken, 1 of them as regular expressions; 1 refused",
        r"""changed: l:2 '.*\.example\.net' is ".example.net": more""",
        r"""changed: l:2 '.*\.example\.net' is ".example.net": and more""",
        f"""expression: l:4 "it's" is '{PATTERN}': no name or suffix says the same""",
        "address: l:5 '192.0.2.7': only for requests that name the address itself",
        r"""refused: l:6 "evil\n]\nallow = ['x.com']\u001b": why""",
        "note: all is different",
    ]
