"""Write compose.yaml from bots_config.yaml; the same as ``./flotilla generate``, options included."""

import os
import sys
from pathlib import Path

try:
    import app.config.load
    import app.deploy.compose  # noqa: F401 - what 'generate' needs, before it begins
    from app.cli.main import main
except ImportError:
    launcher = str(Path(__file__).resolve().with_name("flotilla"))
    os.execv(launcher, [launcher, "generate", *sys.argv[1:]])  # noqa: S606 - it brings the packages that are missing

sys.argv.insert(1, "generate")
main()
