"""What was worked out once is not again, and what differs is."""

from __future__ import annotations

import pytest

from sim.perf.remember import remembered


def test_equal_arguments_get_the_same_object_and_others_their_own() -> None:
    asked: list[tuple[object, int]] = []

    def work(table: dict[str, int], *, times: int) -> list[int]:
        asked.append((table, times))
        if times < 0:
            raise ValueError("less than nothing")
        return [value * times for value in table.values()]

    ask = remembered(work, most=2)
    first = ask({"a": 1}, times=2)
    assert ask({"a": 1}, times=2) is first
    assert first == [2]
    assert ask({"a": 2}, times=2) == [4]
    assert ask({"a": 1}, times=3) == [3]  # the third: the first is forgotten
    assert len(asked) == 3
    assert ask({"a": 1}, times=2) is not first
    for _ in range(2):
        with pytest.raises(ValueError, match="less than nothing"):
            ask({"a": 1}, times=-1)
    assert len(asked) == 6
