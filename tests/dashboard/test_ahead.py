"""Reading ahead: what other pages of a run show first is there when they are opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import ahead, load
from dashboard.listing import RUN, list_results
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


@pytest.mark.parametrize(("named", "shown"), [("two", "two"), ("no-such-run", ""), ("", "")])
def test_the_run_that_is_shown_first_is_read_first(
    made: Path, monkeypatch: pytest.MonkeyPatch, named: str, shown: str
) -> None:
    read: list[str] = []
    monkeypatch.setattr(ahead, "_overview", lambda run: read.append(run.name))
    monkeypatch.setenv("RACKPLAN_RUNS", str(made))
    monkeypatch.setenv("RACKPLAN_RUN", named)
    ahead.read_first()
    assert read == [shown or list_results(made).names(RUN)[0]]


def test_without_a_result_nothing_is_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(ahead, "_overview", lambda run: read.append(run.name))
    monkeypatch.setenv("RACKPLAN_RUNS", str(tmp_path / "none"))
    ahead.read_first()
    assert read == []


def test_overview_of_the_first_run_was_asked_for(
    app: App, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKPLAN_RUNS", str(made))
    monkeypatch.setenv("RACKPLAN_RUN", "two")
    st.cache_data.clear()
    st.cache_resource.clear()
    ahead.read_first()
    monkeypatch.setattr(load, "query", lambda *a: pytest.fail(f"asked again: {a[1]}"))
    assert not app(made, "overview", run="two").exception
