"""What a process uses of its machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.runtime import usage
from app.runtime.usage import Usage, memory


def test_cpu_is_counted_from_the_last_mark_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"monotonic": 100.0, "process_time": 5.0}
    times = SimpleNamespace(monotonic=lambda: clock["monotonic"], process_time=lambda: clock["process_time"])
    monkeypatch.setattr(usage, "time", times)
    found = Usage()
    assert found.cpu_percent() == 0.0
    clock.update(monotonic=110.0, process_time=10.0)
    assert found.cpu_percent() == 50.0
    found.mark()
    clock.update(monotonic=120.0, process_time=20.0)
    assert found.cpu_percent() == 75.0
    found.mark()
    assert found.cpu_percent() == 100.0


@pytest.mark.skipif(not usage.STATM.exists(), reason="only Linux tells it there")
def test_memory_is_what_the_process_has() -> None:
    assert 2**20 < (memory() or 0) < 2**36


@pytest.mark.parametrize("text", [None, "", "many pages"])
def test_memory_is_unknown_where_the_system_has_no_word_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(usage, "STATM", tmp_path / "statm")
    if text is not None:
        (tmp_path / "statm").write_text(text)
    assert memory() is None
