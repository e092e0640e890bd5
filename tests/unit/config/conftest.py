"""A folder with a config, courses and .env, which is the current one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from app.config.fleet import Fleet
from app.config.load import load_fleet
from app.errors import InputError

CONFIG = Path("bots_config.yaml")


class Checkout:
    """Writes files into a folder and loads its config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("", "test", "school"):
            self.write(f"scripts/{name}/courses.yml", "default: {path: a.yml}\n")

    def write(self, name: str, text: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())

    def load(
        self, config: str, environ: Mapping[str, str] | None = None, *, need_secrets: bool = True, scripts: str = ""
    ) -> Fleet:
        self.write(str(CONFIG), config)
        return load_fleet(CONFIG, environ or {}, Path(scripts) if scripts else None, need_secrets=need_secrets)

    def errors(self, config: str, environ: Mapping[str, str] | None = None, *, need_secrets: bool = True) -> list[str]:
        """Return what is wrong with a config, without the name of the file."""
        with pytest.raises(InputError) as caught:
            self.load(config, environ, need_secrets=need_secrets)
        assert caught.value.exit_code == 78
        return [str(problem).removeprefix(f"{CONFIG}:") for problem in caught.value.problems]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.chdir(tmp_path)
    return Checkout(tmp_path)
