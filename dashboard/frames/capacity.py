"""Answers of plans, and where the provisioned power of a run stayed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.listing import PLAN, Listing
from dashboard.load import RunView, Unreadable, guarded, part, stamp_of
from sim.cost.of_run import built_of_run
from sim.cost.run_power import run_power
from sim.cost.stranded import measured
from sim.cost.waterfall import SPENT, STRANDED, Part, Waterfall
from sim.plan.answer_files import ANSWER, SavedPlan, read_answer
from sim.plan.pictures import rows_of
from sim.plan.told import Chart
from sim.results.wording import percent
from sim.units import format_si

#: Charts of more values than these are not drawn: marks that share a pixel say nothing.
MOST_MARKS = 5000
#: Answers that stay in memory.
_KEPT = 16


def read_plan(listing: Listing, name: str) -> SavedPlan:
    """An answer of the listing, from the cache while its files are the same.

    Raises:
        Unreadable: it is none, or its files are not what a plan writes.
    """
    if name not in listing.names(PLAN):
        raise Unreadable(f"there is no plan {name!r} in {listing.root}")
    folder = listing.root / name
    return guarded(lambda: _plan(str(folder), stamp_of(folder, ("manifest.json", ANSWER))))


def first_plan(listing: Listing) -> int:
    """Index of the plan to show first: the newest that looks ahead by a forecast, else the newest.

    Of the newest ``_KEPT`` only, which is how many are kept in memory.
    """
    for index, name in enumerate(listing.names(PLAN)[:_KEPT]):
        plan = part(partial(read_plan, listing, name))
        if isinstance(plan, SavedPlan) and "forecast" in plan.content:
            return index
    return 0


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _plan(folder: str, stamp: tuple[int, ...]) -> SavedPlan:
    return read_answer(Path(folder))


def marks(chart: Chart) -> int:
    """How many values a chart draws."""
    return sum(len(one.y) for one in chart.series)


def chart_frame(chart: Chart) -> pd.DataFrame:
    """The numbers of a chart; empty columns are left out."""
    frame = pd.DataFrame(rows_of(chart.series)).drop(columns="order")
    frame["name"] = frame["name"].replace("", None)
    return frame.dropna(axis="columns", how="all").rename(columns={"x": chart.x, "y": chart.y})


@dataclass(frozen=True)
class Stranded:
    """Where the provisioned power of a run stayed, as means over its window.

    ``fall``: whole milliwatts that sum to what is provisioned. ``drawn_w``: the site's mean draw,
    as far as it was within that.
    """

    fall: Waterfall

    @property
    def provisioned_w(self) -> float:
        """Power that is there to be drawn, W."""
        return self.fall.provisioned_mw / 1e3

    @property
    def stranded_w(self) -> float:
        """Of it what nothing drew, W."""
        return self.fall.total_mw(STRANDED) / 1e3

    @property
    def spent_w(self) -> float:
        """Of it what was drawn for no wanted work, W."""
        return self.fall.total_mw(SPENT) / 1e3

    @property
    def useful_w(self) -> float:
        """Of it what GPUs drew for requests within their objectives, W."""
        return self.fall.useful.watts

    @property
    def drawn_w(self) -> float:
        """Spent and useful, W."""
        return self.spent_w + self.useful_w

    @property
    def largest(self) -> Part | None:
        """The largest stranded part; None if nothing is stranded."""
        parts = [part for part in self.fall.parts if part.kind == STRANDED]
        return max(parts, key=lambda part: part.mw, default=None)

    def share(self, watts: float) -> str:
        """``watts`` of what is provisioned, in per cent."""
        if self.provisioned_w <= 0.0:
            return "–"
        share = watts / self.provisioned_w
        return "< 0.01 %" if 0.0 < share < 1e-4 else percent(share)


def stranded(run: RunView) -> Stranded:
    """The waterfall of a run, from the cache while its files are the same.

    Raises:
        ResultError: the run has no meters or window, or is older than what this needs.
    """
    return Stranded(_fall(run, run.name, run.stamp))


@st.cache_data(max_entries=64, show_spinner=False)
def _fall(_run: RunView, name: str, stamp: tuple[int, ...]) -> Waterfall:
    return measured(built_of_run(_run.manifest), [run_power(_run.result)])


def part_rows(found: Stranded) -> list[dict[str, str]]:
    """A row for each part of the waterfall, with its definition."""
    rows = [
        {"part": "provisioned", "kind": "", "power": format_si(found.provisioned_w, "W"),
         "share": "100 %", "definition": "the utility's budget, else the top ratings, else the "
         "racks' (docs/cost.md)"}
    ]  # fmt: skip
    rows += [
        {
            "part": part.name,
            "kind": part.kind,
            "power": format_si(part.watts, "W"),
            "share": found.share(part.watts),
            "definition": part.meaning,
        }
        for part in found.fall.parts
    ]
    return rows


def part_words(found: Stranded) -> list[str]:
    """A line for each part of the waterfall, with its definition."""
    return [
        f"{row['part']}{', ' + row['kind'] if row['kind'] else ''}: {row['power']} "
        f"({row['share']}): {row['definition']}"
        for row in part_rows(found)
    ]
