"""Flotilla: many Telegram course bots from one file."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("flotilla")
except PackageNotFoundError:  # run from a bare source tree
    __version__ = "0.0.0"
