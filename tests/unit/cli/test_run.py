"""At which ports a run serves pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.cli.run import pages_address


class First(Collection[int]):
    """Has the first so many ports that it is asked for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[object] = []

    def __contains__(self, port: object) -> bool:
        self.asked.append(port)
        return len(self.asked) <= self._count

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return self._count


def test_pages_are_where_they_are_wanted() -> None:
    assert pages_address(8085, 8080, {8085}) == ("127.0.0.1", 8085)


def test_pages_take_no_port_that_others_will_listen_at() -> None:
    free = pages_address(None, 0)[1]
    assert pages_address(None, free - 1, {free})[1] != free
    taken = First(3)
    found = pages_address(None, 0, taken)[1]
    assert taken.asked[3:] == [found]
