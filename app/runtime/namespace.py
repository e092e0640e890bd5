"""The Python modules of a bot's folder, in a package that no other bot shares."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from app.errors import FlotillaError, Problem
from app.runtime.library import Stamp, stamp_of

HANDLERS = "handlers"
"""The module that makes a folder's bot have a plugin."""

_namespaces: dict[str, Namespace] = {}
_numbers = count(1)


class PluginUnusable(FlotillaError):
    """A plugin cannot be loaded; the text is that of a ``Problem``."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(slots=True)
class Namespace:
    """A package with the modules of ``folder``, which is inside ``scripts``; several may hold the same files.

    ``stamps`` are those of the files that were read or missed.
    """

    scripts: Path
    folder: Path
    package: str = field(init=False)
    stamps: dict[Path, Stamp] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.package = f"flotilla_plugin_{next(_numbers)}"

    @property
    def handlers(self) -> Path:
        """The file that ``load`` begins with."""
        return self.folder / f"{HANDLERS}.py"

    def load(self) -> ModuleType:
        """Import the handlers and whatever they import; runs the operator's code.

        Raises ``PluginUnusable``. Either way ``forget`` is to be called in the end.
        """
        root = ModuleType(self.package, "The modules of a bot's folder.")
        root.__path__ = []  # a package, whose modules only ``Modules`` finds
        sys.modules[self.package] = root
        _namespaces[self.package] = self
        logging.getLogger(self.package).setLevel(logging.DEBUG)  # its bot's level decides what is written
        if _finder not in sys.meta_path:
            sys.meta_path.append(_finder)
        self.stamps[self.handlers] = stamp_of(self.handlers)
        try:
            return import_module(f"{self.package}.{HANDLERS}")
        except BaseException as error:  # sys.exit() in a plugin must not end its neighbours
            raise self.unusable(error) from error

    def forget(self) -> None:
        """Give the package up; functions of it that still run go on, without further imports."""
        _namespaces.pop(self.package, None)
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package]:
            del sys.modules[name]

    def find(self, name: str) -> ModuleSpec | None:
        """Return where the module of this name in the package is, ``None`` when there is no such file."""
        place = self.folder.joinpath(*name.split(".")[1:])
        for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)):
            self.stamps[file] = stamp_of(file)
            if file.is_file():
                self._require_inside(file)
                spec = spec_from_file_location(name, file, loader=_Source(name, str(file)))
                if spec is not None and is_package:
                    spec.submodule_search_locations = []
                return spec
        return None

    def unusable(self, error: BaseException) -> PluginUnusable:
        """Return the error with the line of the folder that it comes from."""
        file, line = self._place(error)
        text = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
        named = f"{type(error).__name__}: {text or 'no more is known'}"
        return PluginUnusable(Problem(file, line, 0, "", named.replace(f"{self.package}.", ""), self._remedy(error)))

    def _place(self, error: BaseException) -> tuple[str, int]:
        if isinstance(error, SyntaxError) and error.filename:
            return error.filename, error.lineno or 0
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if Path(frame.filename).is_relative_to(self.folder)]
        return (ours[-1].filename, ours[-1].lineno or 0) if ours else (str(self.handlers), 0)

    def _remedy(self, error: BaseException) -> str:
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            if (self.folder / f"{error.name}.py").exists() or (self.folder / error.name).is_dir():
                return f"write `from .{error.name} import ...` or `from . import {error.name}`"
            if not error.name.startswith(self.package):
                return f"install {error.name.partition('.')[0]} in the image of the bot"
        return ""

    def _require_inside(self, file: Path) -> None:
        if not file.resolve().is_relative_to(self.scripts.resolve()):
            raise ImportError(f"{file} is a link that leads out of {self.scripts}")


class _Source(SourceFileLoader):
    """Reads source only: compiled files in ``scripts`` would be in the way, and two edits of one second look alike."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError


class Modules(MetaPathFinder):
    """Finds the modules of all namespaces."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is that belongs to a namespace; called by every import that nobody else serves."""
        namespace = _namespaces.get(fullname.partition(".")[0])
        return namespace.find(fullname) if namespace is not None and "." in fullname else None


_finder = Modules()
