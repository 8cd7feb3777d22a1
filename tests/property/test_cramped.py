"""The compiled engine with next to no room: every array grows, every buffer is drained often."""

from __future__ import annotations

import pytest

from sim.engine import compile as compiling
from tests.property.engine_pair import CANDIDATE
from tests.property.test_engines import check_seeds


@pytest.fixture
def _cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two places where there are a thousand, a few rows where there are thousands."""
    monkeypatch.setattr(compiling, "SLOTS", 2)
    monkeypatch.setattr(compiling, "ENTRIES", 2)
    monkeypatch.setattr(compiling, "OUT_ROWS", 4)
    monkeypatch.setattr(compiling, "OTHER_ROWS", 2)


@pytest.mark.usefixtures("_cramped")
@pytest.mark.skipif(CANDIDATE != "compiled", reason="only the compiled engine has arrays that grow")
@pytest.mark.parametrize(("first", "prefixes"), [(5_000, False), (5_025, False), (5_050, True)])
def test_arrays_grow(first: int, prefixes: bool) -> None:
    check_seeds(first, 25, prefixes)
