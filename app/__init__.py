"""Flotilla: many Telegram course bots from one file."""

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when somebody asks for it: what that imports takes longer than the rest of a start."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flotilla")
    except PackageNotFoundError:  # run from a bare source tree
        return "0.0.0"
