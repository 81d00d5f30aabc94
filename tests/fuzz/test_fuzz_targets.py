"""Every target over its seeds, without a fuzzer: what was found once stays fixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.engine import FOLDER, TARGETS, dictionary, load, seeds
from fuzz.run import missing

#: The seeds are read by people and stored for ever.
MAX_SEEDS = 320
MAX_SEED_BYTES = 500_000

SEEDS = [pytest.param(name, path, id=f"{name}-{path.name}") for name in TARGETS for path in seeds(name)]


@pytest.mark.parametrize(("name", "path"), SEEDS)
def test_target_finds_nothing_in_its_seed(name: str, path: Path) -> None:
    load(name).one_input(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_target_finds_nothing_in_pieces_of_its_seeds(name: str) -> None:
    """Seeds cut in the middle, and two of them in a row: what a fuzzer tries first."""
    one_input = load(name).one_input
    previous = b""
    for path in seeds(name):
        data = path.read_bytes()
        one_input(data[: len(data) // 2])
        one_input(previous + data)
        previous = data


@pytest.mark.parametrize("name", TARGETS)
def test_dictionary_has_every_word(name: str) -> None:
    words = load(name).words
    assert len(set(words)) == len(words)
    assert dictionary(words).count("\n") == len(words)


def test_dictionary_escapes_what_libfuzzer_would_misread() -> None:
    assert dictionary([b'a"\\\r\xff b']) == '"a\\x22\\x5C\\x0D\\xFF b"\n'


def test_corpus_is_small() -> None:
    files = [path for path in (FOLDER / "corpus").rglob("*") if path.is_file()]
    assert len(files) <= MAX_SEEDS
    assert sum(path.stat().st_size for path in files) <= MAX_SEED_BYTES


def test_what_is_not_installed_is_named_before_a_target_starts() -> None:
    assert missing(["json", "no_such_module"]) == ["no_such_module"]
    assert not set(missing()) - {"atheris"}
