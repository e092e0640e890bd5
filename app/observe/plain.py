"""structlog without rich, which it would import for tracebacks that we do not print: 3 MiB of every host."""

import sys

_is_hidden = "rich" not in sys.modules
if _is_hidden:
    sys.modules["rich"] = None  # type: ignore[assignment] # makes its import fail, as where it is not installed

import structlog as structlog  # noqa: E402

if _is_hidden:
    del sys.modules["rich"]
