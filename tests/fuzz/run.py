"""Fuzzes everything that reads hostile input with atheris, which looks for inputs that reach new code.

``python -m tests.fuzz.run SECONDS [TARGET...]`` gives each target as many seconds, in a process of its own; what makes
one fail is left in ``.fuzz/``, and the exit code is 1.

atheris has wheels for Linux on x86-64 only, and for Python up to 3.14: there it is installed with the other tools of
developers. Elsewhere hypothesis alone drives the targets.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.corpus import FRAGMENTS

FOUND = Path(".fuzz")
ONE = "--one"
LONGEST_INPUT = 20_000
SLOWEST_INPUT = 20
"""Seconds after which an input counts as one that hangs."""


def main(arguments: list[str]) -> int:
    """Fuzz the named targets, by default all."""
    from tests.fuzz.target import TARGETS

    if find_spec("atheris") is None:
        print("atheris is not installed: it has wheels for Linux on x86-64 only, and for Python 3.11 to 3.14")
        return 2
    seconds, names = arguments[0], arguments[1:] or list(TARGETS)
    command = [sys.executable, "-m", "tests.fuzz.run", ONE]
    failed = [name for name in names if subprocess.run([*command, name, seconds], check=False).returncode]
    print(f"{len(names) - len(failed)} targets held, {len(failed)} did not: {', '.join(failed) or '-'}")
    return 1 if failed else 0


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["app"]):
        from tests.fuzz.target import TARGETS

    target, folder = TARGETS[name], FOUND / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate((*target.seeds, *FRAGMENTS)):
        (corpus / f"seed{number}").write_bytes(text.encode("utf-8", "surrogatepass"))

    def check(data: bytes) -> None:
        target.check(data.decode("utf-8", "replace"))

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOWEST_INPUT}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [ONE]:
        fuzz(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
