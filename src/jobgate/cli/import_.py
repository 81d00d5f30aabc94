"""``jobgate import``: an allow list of another system as one of ours, with what changed in meaning.

The list goes to standard output or into a file, everything that is to be known about it to
standard error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from jobgate.integrations.allowlist import Allowlist, as_report, as_toml
from jobgate.integrations.bacalhau_list import read_allowlist
from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem.whitelist import (
    Pattern,
    import_patterns,
    kind_of_file,
    read_lines,
    read_whitelist,
)

_LST_FORM = "the name of a .lst file ends in strict or regex, which is its type, as in regex.lst"


def read_text(path: Path) -> str:
    """Read a file.

    Raises:
        click.UsageError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: not UTF-8 at byte {error.start}") from None


def golem_files(path: Path) -> list[Path]:
    """List the whitelist files of a folder, of a bundle's ``whitelist`` folder, or the file itself.

    Raises:
        click.UsageError: There is none.
    """
    if not path.is_dir():
        return [path]
    places = [path, path / "whitelist"]
    found = [file for place in places for file in sorted(place.glob("*.lst")) if kind_of_file(file.stem)]
    found.sort(key=lambda file: kind_of_file(file.stem) != "strict")
    found += sorted(path.glob("*domain_whitelist.json"))
    if not found:
        raise click.UsageError(f"{path}: has neither strict.lst, regex.lst nor domain_whitelist.json")
    return found


def golem_patterns(path: Path) -> list[Pattern]:
    """Read one whitelist file.

    Raises:
        click.UsageError: It cannot be read, or is no whitelist.
    """
    kind = kind_of_file(path.stem)
    if path.suffix != ".json" and kind is None:
        raise click.UsageError(f"{path}: {_LST_FORM}")
    text = read_text(path)
    if kind is not None and path.suffix != ".json":
        return read_lines(text, kind, path.name)
    try:
        return read_whitelist(text, path.name)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None


def finish(imported: Allowlist, system: str, files: Sequence[Path], output: Path | None) -> None:
    """Print a list, or write it into a file, and print its report.

    Raises:
        click.exceptions.Exit: With 1: some entries were refused.
        click.UsageError: The file cannot be written.
    """
    names = ", ".join(path.name for path in files)
    text = as_toml(imported, f"By jobgate import {system}, from {names}")
    if output is None:
        click.echo(text)
    else:
        try:
            output.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{output}: cannot be written: {error.strerror}") from None
    for line in as_report(imported):
        click.echo(f"jobgate import: {line}", err=True)
    if imported.refused:
        raise click.exceptions.Exit(1)


@click.group(epilog="Example: jobgate import golem whitelist/ --output jobgate.toml")
def command() -> None:
    """Print an allow list of another system as [node] allow, in TOML.

    What changed in meaning, and what was refused, is written to standard error. Exits with 1 if
    an entry was refused: the list is complete without it.
    """


_PATHS = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path)
)
_OUTPUT = click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="JOBGATE_OUTPUT",
    help="Write the list there; where a list cannot be read, FILE stays as it was.",
)


@command.command(epilog="Example: jobgate import golem ~/.local/share/ya-provider/ --output jobgate.toml")
@_PATHS
@_OUTPUT
@click.option(
    "--regex/--no-regex",
    default=True,
    show_default=True,
    envvar="JOBGATE_REGEX",
    help="Keep what only an expression can say, anchored and marked; to load it needs jobgate[golem].",
)
def golem(paths: tuple[Path, ...], output: Path | None, regex: bool) -> None:
    """Import strict.lst and regex.lst, or domain_whitelist.json, or folders that have them.

    Names stay names; an expression becomes a name or a suffix where one says the same. An
    expression that is not anchored is refused with the spelling that is safe.
    """
    files = [file for path in paths for file in golem_files(path)]
    patterns: list[Pattern] = [pattern for file in files for pattern in golem_patterns(file)]
    finish(import_patterns(patterns, expressions=regex), "golem", files, output)


@command.command(epilog="Example: jobgate import bacalhau http-domain-allowlist.txt --output jobgate.toml")
@_PATHS
@_OUTPUT
def bacalhau(paths: tuple[Path, ...], output: Path | None) -> None:
    """Import an allowlist of domains, one a line, # for comments."""
    imported = Allowlist()
    for outcome in (read_allowlist(read_text(path), path.name) for path in _files(paths)):
        imported.notes = outcome.notes
        imported.add([*outcome.taken, *outcome.refused])
    finish(imported, "bacalhau", paths, output)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            raise click.UsageError(f"{path}: a folder: name the list itself")
        yield path
