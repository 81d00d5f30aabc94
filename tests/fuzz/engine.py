"""What all targets share: their names, their seeds, and the way into libFuzzer (atheris).

A target is a module ``fuzz_<name>.py`` with ``TestOneInput(data)``, which returns or
raises what it found, and ``WORDS``, which are worth trying. It imports without
atheris, so that the ordinary tests run all seeds.
"""

from __future__ import annotations

import importlib
import random
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))

#: Coverage of these leads the fuzzer on.
INSTRUMENTED = ["jobgate", "support", "dns.message", "dns.name", "dns.wire", "dns.rdata", "tomllib"]


class Target(NamedTuple):
    """One thing to fuzz."""

    one_input: Callable[[bytes], None]
    words: tuple[bytes, ...]


def load(name: str) -> Target:
    """Import a target by its name."""
    module = importlib.import_module(f"fuzz.fuzz_{name}")
    return Target(module.TestOneInput, module.WORDS)


def seeds(name: str) -> list[Path]:
    """Return the committed inputs of a target, in order."""
    return sorted((FOLDER / "corpus" / name).iterdir())


def split(data: bytes) -> list[bytes]:
    """Cut an input at some places, the same ones every time."""
    rng = random.Random(zlib.crc32(data))  # noqa: S311 (repeatable on purpose)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def dictionary(words: Sequence[bytes]) -> str:
    """Write words as libFuzzer reads them."""
    escaped = (re.sub(rb"[^ !#-\[\]-~]", lambda byte: b"\\x%02X" % byte[0][0], word) for word in words)
    return "".join(f'"{word.decode("ascii")}"\n' for word in escaped)


def main(name: str, dictionary_path: Path, options: Sequence[str]) -> None:
    """Fuzz one target with libFuzzer's options, or run it over the files that they name."""
    # It has no types, and only those who fuzz have it.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = load(name)
    dictionary_path.write_text(dictionary(target.words), encoding="ascii")
    atheris.Setup([f"fuzz_{name}", f"-dict={dictionary_path}", *options], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
