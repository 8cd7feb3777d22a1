"""Reading ahead: what other pages of a run show first is there when they are opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import ahead, load
from dashboard.listing import list_results
from dashboard.load import RunView, read_run

App = Callable[..., AppTest]


def view(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


@pytest.mark.parametrize("page", ["power", "floor", "latency", "validity"])
def test_a_page_of_a_run_that_was_read_ahead_asks_for_less(
    app: App, made: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    query = load.query
    monkeypatch.setattr(load, "query", lambda *a: asked.append(a[1]) or query(*a))

    def count(first: Callable[[RunView], None]) -> int:
        st.cache_data.clear()
        st.cache_resource.clear()
        first(view(made, "two"))
        asked.clear()
        assert not app(made, page, run="two").exception
        return len(asked)

    alone = count(lambda run: None)
    assert count(ahead.read) <= alone // 2


def test_what_cannot_be_read_ahead_is_told_by_its_page(app: App, runs: Path) -> None:
    for file in (runs / "complete" / "summary" / "counts").iterdir():
        file.write_bytes(b"PAR1")
    ahead.read(view(runs, "complete"))
    page = app(runs, "latency", run="complete")
    assert not page.exception
    assert any("cannot be read as Parquet" in text.value for text in page.text)


def test_it_is_begun_once_and_only_where_it_is_wanted(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(ahead, "read", lambda run: begun.append(run.name))
    monkeypatch.setattr(ahead, "_AFTER_S", 0.0)
    st.cache_resource.clear()
    run = view(made, "complete")
    ahead.read_ahead(run)
    monkeypatch.setattr(ahead, "wanted", True)
    ahead.read_ahead(run)
    ahead.read_ahead(run)
    deadline = time.monotonic() + 10.0
    while not begun and time.monotonic() < deadline:
        time.sleep(0.01)
    assert begun == ["complete"]
