"""What the benchmark needs beside Flotilla: the peers, in environments of their own under ``.flotilla/bench``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDER = ROOT / ".flotilla" / "bench"
PYTHON = FOLDER / "venv" / "bin" / "python"
NODE_FOLDER = FOLDER / "node"


def prepare() -> None:
    """Install the peers unless they are there in these versions; that needs the network."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _once("venv", HERE / "requirements.txt", _install_python)
    if has_node():
        _once("node", HERE / "package.json", _install_node)


def has_node() -> bool:
    """Tell whether grammY can take part."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def _once(name: str, wanted: Path, install: Callable[[Path], None]) -> None:
    done = FOLDER / f"{name}.done"
    if done.exists() and done.read_text() == wanted.read_text():
        return
    print(f"bench: setting up {FOLDER / name}, once", file=sys.stderr)
    install(wanted)
    done.write_text(wanted.read_text())


def _install_python(requirements: Path) -> None:
    uv = next(Path(sys.prefix).glob("uv-*/bin/uv"))  # the one that ./flotilla has brought
    _run([str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER / "venv")])
    _run([str(uv), "pip", "install", "--quiet", "--python", str(PYTHON), "--requirement", str(requirements)])


def _install_node(package: Path) -> None:
    NODE_FOLDER.mkdir(exist_ok=True)
    shutil.copy(package, NODE_FOLDER / "package.json")
    # Node looks for packages beside the script that imports them.
    shutil.copy(HERE / "peers" / "grammy_echo.mjs", NODE_FOLDER)
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(NODE_FOLDER)])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)
