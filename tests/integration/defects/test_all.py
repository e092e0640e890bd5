"""Every defect of the old program has tests that show what happens now instead (course-format.md, section 7)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
DEFECTS = 47


def test_every_defect_has_a_test() -> None:
    found = {
        int(match[1])
        for file in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (match := re.match(r"test_d(\d+)_\w+", node.name))
    }
    assert found == set(range(1, DEFECTS + 1))
