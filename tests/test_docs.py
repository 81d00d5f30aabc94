"""What the documents name is there, and what there is they tell: tests, files, pages, keys, reasons."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import tomllib
from argparse import ArgumentParser
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from jobgate.cli import cli
from jobgate.config.convert import read_table
from jobgate.config.host import Name
from jobgate.config.job_table import JobTable
from jobgate.config.load import load_text
from jobgate.config.settings import Settings
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal
from jobgate.proxy.records import close_line, decision_line, ready_line
from jobgate.proxy.replies import status_of
from jobgate.proxy.usage import Usage

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("benchmarks/*.md")]
)

#: What a gateway adds to its ready line.
BESIDES = ("control", "metrics", "proxy", "workers", "max_connections")
MODULES = sorted((ROOT / "tests").rglob("test_*.py"))
TESTS = {path.stem for path in MODULES} | {
    name for path in MODULES for name in re.findall(r"def (test_[a-z0-9_]+)", path.read_text())
}


def named_tests(text: str) -> set[str]:
    """Tests, or modules of tests, that a text names in code marks."""
    return set(re.findall(r"`(test_[a-z0-9_]+)`", text))


def links_of(text: str) -> set[str]:
    """Relative targets of the links of a text, without their anchors."""
    return set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert named_tests(page.read_text()) - TESTS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_test_file_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    files = {page.parent / link for link in links_of(text)}
    files |= {ROOT / path for path in re.findall(r"`(tests/[a-z0-9_/]+\.py)`", text)}
    assert sorted(str(path) for path in files if not path.exists()) == []


def anchors_of(text: str) -> set[str]:
    """What headings of a page are linked to as."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_anchors(page: Path) -> list[str]:
    """Links of a page to headings that are not there."""
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    return [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in anchors_of((page.parent / target if target else page).read_text())
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_heading_that_a_page_links_to_exists(page: Path) -> None:
    assert dead_anchors(page) == []


def test_dead_anchor_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## A `b`, c\n```\n# d\n```\n[1](#a-b-c) [2](page.md#d)")
    assert dead_anchors(page) == ["page.md#d"]


def test_threat_model_names_tests() -> None:
    assert len(named_tests((ROOT / "docs/threat-model.md").read_text())) > 30


def test_missing_test_is_found() -> None:
    assert named_tests("shown by `test_that_nobody_wrote`") - TESTS == {"test_that_nobody_wrote"}


def said_twice(text: str, *, words: int = 10, lines: int = 30) -> list[int]:
    """Lines that begin with what prose of the last lines has said already: a merge has kept both forms."""
    prose = re.sub(
        r"^```.*?^```$|^\|.*?$", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S
    )
    found = [(word, number) for number, line in enumerate(prose.splitlines()) for word in line.split()]
    seen: dict[tuple[str, ...], int] = {}
    twice = []
    for start in range(len(found) - words + 1):
        part = tuple(word for word, _ in found[start : start + words])
        number = found[start][1]
        if 0 < number - seen.get(part, number) <= lines:
            twice.append(number + 1)
        seen[part] = number
    return sorted(set(twice))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=lambda page: page.name
)
def test_page_says_nothing_twice(page: Path) -> None:
    assert said_twice(page.read_text()) == []


def test_what_is_said_twice_is_found() -> None:
    bullet = "- one two three four five six seven eight nine ten eleven\n"
    wrapped = bullet.replace("six ", "six\n")
    assert said_twice(f"# T\n{bullet}- another\n{wrapped}") == [4]
    assert said_twice(f"```console\n{bullet}{bullet}```\n{bullet}") == []


def commands_of(text: str) -> list[str]:
    """Command lines of jobgate in blocks, behind a prompt or without one, and in code marks."""
    blocks = re.findall(r"^```(?:console)?\n(.*?)^```$", text, re.M | re.S)
    typed = [
        line for block in blocks for line in re.findall(r"^(?:[$#>] +)?(jobgate [a-z]+ .*)$", block, re.M)
    ]
    return [*typed, *re.findall(r"`(jobgate [a-z][^`]*)`", text)]


def unknown_words(line: str) -> list[str]:
    """What a command line asks for and jobgate does not know: a command, or its options."""
    _, *words = line.split()
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        names = words.pop(0).split("|")
        found = [command.get_command(click.Context(command), name) for name in names]
        if None in found:
            return names
        command = found[0] or command
    known = {"--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts))}
    own = itertools.takewhile(lambda word: word not in ("--", "|", "&&", ">", "#"), words)
    return [word for word in own if word.startswith("--") and word.split("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_of_a_page_are_of_commands_and_options_that_there_are(page: Path) -> None:
    lines = commands_of(page.read_text())
    assert {line: unknown for line in lines if (unknown := unknown_words(line))} == {}


def test_command_line_that_is_wrong_is_found() -> None:
    lines = commands_of(
        "# jobgate is a gate\n```console\n$ jobgate run --domian a.example -- x --y\n```\n`jobgate chek`"
    )
    assert list(map(unknown_words, lines)) == [["--domian"], ["chek"]]


INSTALLATIONS = sorted(
    {
        (page, line.strip())
        for page in PAGES
        for line in re.findall(r"pip install ([^`&#\n]+)", page.read_text())
    }
)


@pytest.mark.parametrize(
    ("page", "words"), INSTALLATIONS, ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_installation_of_a_page_is_of_extras_and_files_that_are_there(page: Path, words: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("-c", type=lambda name: (ROOT / name).read_text())
    parser.add_argument("-e", action="store_true")
    parser.add_argument("what", type=re.compile(r"\.(?:\[([a-z,]+)\])?").fullmatch)
    extras = parser.parse_args(shlex.split(words)).what[1]
    assert extras is None or set(extras.split(",")) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_environment_of_a_page_is_the_one_that_it_uses(page: Path) -> None:
    """Its pip, and its programs in ``PATH`` or behind a link."""
    text = page.read_text()
    for made, used in re.findall(r"-m venv (\S+) && (\S+)/bin/pip ", text):
        assert used == made
        programs = re.findall(r"^[$#] (?:export PATH=|ln -s )(\S+?)/bin[:/]", text, re.M)
        assert set(programs) <= {made}


def test_ray_of_its_page_is_the_one_that_is_tried() -> None:
    (said,) = re.findall(r"Tried with Ray ([0-9.]+) ", (ROOT / "docs/ray.md").read_text())
    assert f"\nray=={said}\n" in (ROOT / "requirements-test.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = project["optional-dependencies"]["ray"]
    assert Requirement(wanted).specifier.contains(said)


def configuration_blocks() -> list[str]:
    """The TOML of docs/configuration.md: the tables of a node, then a job."""
    return re.findall(r"```toml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.DOTALL)


def keys_of(block: str) -> list[str]:
    """Tables and keys of a block, those that are commented out included."""
    return re.findall(r"^(?:# )?(\[+\w+\]+|\w+(?= = ))", block, re.MULTILINE)


def test_configuration_page_has_every_table_and_key() -> None:
    node, job = map(keys_of, configuration_blocks())
    expected = {f"[{table.name}]" for table in fields(Settings) if table.name != "jobs"}
    for table in fields(Settings):
        value = getattr(Settings(), table.name)
        if is_dataclass(value):
            expected |= {field.name for field in fields(value)}
    assert set(node) == expected
    assert sorted(job) == sorted(["[[job]]", *(field.name for field in fields(JobTable))])


def test_configuration_page_tells_the_defaults() -> None:
    node, job = configuration_blocks()
    settings = load_text(node + job)
    assert replace(settings, jobs=()) == Settings()
    said = tomllib.loads(job)["job"][0]
    required = {"id", "network", "domains", "listen"}
    table, problems, _ = read_table(JobTable, {key: said[key] for key in said if key not in required})
    assert (table, problems) == (JobTable(), [])


def test_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link).resolve() for link in links_of((ROOT / "README.md").read_text())}
    assert set(PAGES) - linked == {ROOT / "README.md"}


def table_below(heading: str) -> list[list[str]]:
    """The cells of the first table of a section of docs/behavior.md."""
    section = (ROOT / "docs/behavior.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


def words_of(cell: str) -> list[str]:
    """The words in code marks of a cell."""
    return re.findall(r"`([a-z0-9_-]+)`", cell)


def status_text(reason: Reason) -> str:
    """The status of a reason; a dash where it only ends what was answered."""
    try:
        return str(status_of(reason))
    except KeyError:
        return "\N{EN DASH}"


def test_table_of_refusals_has_every_reason_and_its_status() -> None:
    told = {
        (word, status)
        for reasons, statuses, _ in table_below("Refusals")
        for word in words_of(reasons)
        for status in statuses.split(", ")
    }
    assert told == {(reason.token, status_text(reason)) for reason in Reason}


def test_table_of_the_log_has_every_key_of_its_lines() -> None:
    target = Target(Kind.CONNECT, Name("www.example.com"), 443)
    exchange = Exchange("job", "127.0.0.1:1", Usage(), Journal(), lambda: 0.0)
    exchange.target, exchange.server_name, exchange.ech = target, Name("example.com"), True
    exchange.would_refuse = exchange.would_end = Reason.SNI
    exchange.dropped = ("192.0.2.1",)
    lines = {
        "decision": decision_line("", exchange),
        "close": close_line("", exchange),
        "ready": ready_line("", {}, dict.fromkeys(BESIDES, "")),
    }
    written = {(kind, key) for kind, line in lines.items() for key in json.loads(line)}
    rows = table_below("Log")
    told = {
        (kind, word)
        for keys, kinds, _ in rows
        for kind in (lines if kinds == "all" else kinds.split(", "))
        for word in words_of(keys)
    }
    assert told == written
