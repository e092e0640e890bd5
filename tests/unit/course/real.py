"""Where the course files of the old program are, which are not part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("FLOTILLA_COURSES") or Path(__file__).parents[4] / "shared" / "courses")
"""Beside the checkout, unless FLOTILLA_COURSES names another folder."""

REASON = f"no course files of the old program in {FOLDER}; set FLOTILLA_COURSES"
