"""``./flotilla`` in a fresh checkout whose path has a space."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL_PYTHON = os.path.realpath(sys.executable)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that two first starts at once have set up."""
    checkout = fresh_checkout(tmp_path_factory.mktemp("a place"))
    starts = [begin(checkout / "flotilla") for _ in range(2)]
    outcomes = [(*start.communicate(), start.returncode) for start in starts]
    assert [(output, code) for output, _, code in outcomes] == [(version_of(checkout), 0)] * 2
    waiting = "flotilla: another start is setting up this checkout; waiting for it"
    assert sorted(said(errors) for _, errors, _ in outcomes) == [[waiting], progress(checkout)]
    return checkout


def fresh_checkout(folder: Path) -> Path:
    """Copy the files that git knows, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in names.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def begin(launcher: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Begin ``flotilla --version``, or with other arguments, with nothing of this environment active."""
    kept = {name: text for name, text in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.Popen(
        [launcher, *(arguments or ["--version"])],
        cwd=cwd,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(launcher: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> tuple[int, str, list[str]]:
    """Run it to its end; return the exit code, the output and what the launcher itself said."""
    process = begin(launcher, *arguments, cwd=cwd, **environment)
    output, errors = process.communicate()
    return process.returncode, output, said(errors)


def said(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("flotilla: ")]


def progress(checkout: Path) -> list[str]:
    """What the launcher says when it sets a checkout up; the Python is that of the PATH."""
    found = subprocess.run(
        ["python3", "-c", "import os, sys; print(os.path.realpath(sys.executable))"], stdout=subprocess.PIPE, text=True
    )
    return [
        f"flotilla: setting up {checkout}/.venv from uv.lock; this happens once and takes a minute",
        f"flotilla: 1/3 environment with {found.stdout.strip()}",
        "flotilla: 2/3 uv 0.13.9",
        "flotilla: 3/3 packages",
        "flotilla: ready",
    ]


def version_of(checkout: Path) -> str:
    lines = (checkout / "pyproject.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = ")) + "\n"


def test_later_starts_go_straight_to_the_command(installed: Path, tmp_path: Path) -> None:
    link = tmp_path / "link to it"
    link.symlink_to(os.path.relpath(installed / "flotilla", tmp_path))
    assert start(link, cwd=tmp_path) == (0, version_of(installed), [])


def test_arguments_and_exit_code_are_those_of_the_command(installed: Path) -> None:
    code, output, lines = start(installed / "flotilla", "no such", "command")
    assert (code, output, lines) == (2, "", [])


def test_advice_names_the_command_as_it_was_called(installed: Path, tmp_path: Path) -> None:
    code, output, _ = start(installed / "flotilla", "init", cwd=tmp_path)
    assert (code, output.splitlines()[-1]) == (0, f"next: '{installed}/flotilla' run")


def test_a_setup_that_was_killed_is_made_anew(installed: Path) -> None:
    with (installed / "uv.lock").open("a") as lock:
        lock.write("# changed\n")
    killed = begin(installed / "flotilla")
    assert killed.stderr
    assert killed.stdout
    with killed, killed.stderr:
        assert "flotilla: 3/3 packages\n" in iter(killed.stderr.readline, "")
        killed.kill()
    code, output, lines = start(installed / "flotilla")
    assert (code, output, lines[-1]) == (0, version_of(installed), "flotilla: ready")


def test_a_new_lock_file_is_followed(installed: Path) -> None:
    with (installed / "uv.lock").open("a") as lock:
        lock.write("# changed\n")
    assert start(installed / "flotilla") == (0, version_of(installed), progress(installed))
    assert start(installed / "flotilla") == (0, version_of(installed), [])


def test_a_python_that_went_away_is_replaced(installed: Path) -> None:
    python = installed / ".venv/bin/python3"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    (installed / ".venv/bin/python").unlink()
    (installed / ".venv/bin/python").symlink_to("python3")
    assert start(installed / "flotilla") == (0, version_of(installed), progress(installed))


def test_a_checkout_that_was_moved_is_set_up_again(installed: Path, tmp_path: Path) -> None:
    moved = installed.rename(tmp_path / "moved")
    try:
        assert start(moved / "flotilla") == (0, version_of(moved), progress(moved))
    finally:
        moved.rename(installed)


def path_with(folder: Path, **programs: str) -> str:
    """Make a PATH of the system's tools without any Python, and these shell scripts."""
    folder.mkdir()
    for tool in ("sh", "readlink", "dirname", "cmp", "cat", "mkdir", "rm", "cp"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


OLD = 'echo "Python 3.9 has no such thing" >&2; exit 1'
GONE = 'echo "pyenv: python3: command not found" >&2; exit 127'
REAL = f'exec "{REAL_PYTHON}" "$@"'
WITHOUT_VENV = f'case "$*" in *realpath*) echo "$0" ;; "-m venv"*) exit 1 ;; *) {REAL} ;; esac'
NO_NETWORK = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Just enough of a checkout for a setup that fails."""
    folder = tmp_path / "it is here"
    folder.mkdir()
    for name in ("flotilla", "uv.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("programs", [{}, {"python3": OLD}, {"python3": GONE, "python3.12": GONE}])
def test_no_python(checkout: Path, tmp_path: Path, programs: dict[str, str]) -> None:
    path = path_with(tmp_path / "bin", **programs)
    assert start(checkout / "flotilla", PATH=path) == (
        1,
        "",
        [
            "flotilla: no Python 3.11 or newer found (tried python3 python3.14 python3.13 python3.12 python3.11); "
            "install one: apt install python3 python3-venv (Debian 12, Ubuntu 24.04), brew install python (macOS), or "
            "python.org"
        ],
    )


def test_names_that_only_fail_are_passed_over_and_pypi_is_missed(checkout: Path, tmp_path: Path) -> None:
    path = path_with(tmp_path / "bin", **{"python3": GONE, "python3.12": OLD, "python3.11": REAL})
    code, output, lines = start(checkout / "flotilla", PATH=path, **NO_NETWORK)
    assert (code, output) == (1, "")
    assert lines[1:] == [
        f"flotilla: 1/3 environment with {REAL_PYTHON}",
        "flotilla: 2/3 uv 0.13.9",
        "flotilla: could not install uv 0.13.9 (see above); if PyPI cannot be reached from here, look at the network "
        "and at HTTPS_PROXY, then run the same command again",
    ]


def test_a_python_without_venv(checkout: Path, tmp_path: Path) -> None:
    path = path_with(tmp_path / "bin", python3=WITHOUT_VENV)
    code, output, lines = start(checkout / "flotilla", PATH=path)
    assert (code, output) == (1, "")
    assert lines[-1] == (
        f"flotilla: {path}/python3 cannot make a virtual environment (see above); "
        "on Debian and Ubuntu: apt install python3-venv"
    )


def test_a_folder_that_cannot_be_written(checkout: Path) -> None:
    code, output, lines = start(checkout / "flotilla", FLOTILLA_VENV="/proc/flotilla")
    assert (code, output) == (1, "")
    assert lines[-1] == (
        "flotilla: cannot write to /proc/flotilla; make the folder writable, or set FLOTILLA_VENV to one that is"
    )


def test_an_environment_of_somebody_else_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    """Their Python may be where only they may look: to others it does not work."""
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to("/nowhere/python3.11")
    (venv / "pyvenv.cfg").touch()
    with tempfile.TemporaryDirectory(prefix="flotilla-test-", dir="/tmp") as place:
        shared = shutil.move(checkout, f"{place}/checkout")
        path = path_with(Path(place, "bin"), python3='case "$*" in *realpath*) echo "$0" ;; *) exit 0 ;; esac')
        Path(place).chmod(0o755)
        done = subprocess.run(
            [f"{shared}/flotilla", "--version"],
            env={"PATH": path},
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        left = sorted(os.listdir(f"{shared}/.venv"))
    assert done.stderr.splitlines()[2:] == [
        f"flotilla: cannot write to {shared}/.venv; make the folder writable, or set FLOTILLA_VENV to one that is"
    ]
    assert (done.returncode, left) == (1, ["bin", "pyvenv.cfg"])


def test_a_folder_of_something_else_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "dear.txt").write_text("Dear")
    code, output, lines = start(checkout / "flotilla", FLOTILLA_VENV=str(letters))
    assert (code, output) == (1, "")
    assert lines[-1] == (
        f"flotilla: {letters} exists and is no virtual environment; remove it, or set FLOTILLA_VENV to another folder"
    )
    assert [path.name for path in letters.iterdir()] == ["dear.txt"]


def test_the_image_is_built_with_the_same_uv() -> None:
    named = [
        set(re.findall(r"(?:UV_VERSION=|uv==)([\d.]+)", (ROOT / name).read_text()))
        for name in ("flotilla", "Dockerfile")
    ]
    assert named[0] == named[1]
    assert len(named[0]) == 1
