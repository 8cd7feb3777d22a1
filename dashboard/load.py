"""Reads results into what the pages show; every failure is one line that says why.

Pages ask for small frames by SQL over the Parquet files of a run (``ask``), so that no large table
is ever in memory. No text of a user enters SQL: it travels in bound parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import duckdb
import pandas as pd
import pyarrow as pa
import streamlit as st

from dashboard.listing import MANIFEST, PLACEMENT, RUN, Listing
from dashboard.tables import query
from sim.errors import RackplanError, ResultError
from sim.results.kind import is_placement
from sim.results.metrics import Metric
from sim.results.result import RunResult, open_run
from sim.results.verdict import Verdict, verdict

_LONGEST_REASON = 300
#: What reading damaged or foreign files raises.
_FAILURES = (
    RackplanError,
    pa.ArrowException,
    duckdb.Error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
_T = TypeVar("_T")


class Unreadable(Exception):
    """A result that cannot be shown; the message is one line."""


@dataclass(frozen=True)
class Expectation:
    """One ``expect:`` line and how it went; ``metric`` is None where it was not measured."""

    text: str
    passed: bool
    metric: Metric | None
    reason: str


@dataclass(frozen=True)
class Missing:
    """A part of a run that cannot be shown, and why."""

    reason: str


@dataclass(frozen=True)
class View:
    """A run or a placement as all pages see it.

    Attributes:
        name: its folder under the root.
        stamp: changes when its files are written again.
        result: manifest, metrics, rows of each table; tables are asked for by ``ask``.
    """

    name: str
    stamp: tuple[int, ...]
    result: RunResult = field(repr=False)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the run says of itself."""
        return self.result.manifest

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Full name (``chat.ttft_p99``) → metric."""
        return self.result.metrics

    @property
    def outcome(self) -> str:
        """ "complete" or "partial"."""
        return self.result.outcome

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return str(self.manifest["scenario"])

    @property
    def seed(self) -> int:
        """Seed of all randomness."""
        return int(self.manifest["seed"])

    @property
    def engine(self) -> str:
        """What computed it."""
        return str(self.manifest["engine"])

    @property
    def rackplan(self) -> str:
        """Version that made it."""
        return str(self.manifest["versions"].get("rackplan", "unknown"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the run warned of."""
        return tuple(str(warning) for warning in self.manifest["warnings"])

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """The ``expect:`` lines and how they went."""
        return tuple(
            Expectation(
                text=str(line["text"]),
                passed=line["passed"] is True,
                metric=self.metrics.get(str(line["metric"])),
                reason=str(line["reason"]),
            )
            for line in self.manifest["expectations"]
        )

    def rows(self, table: str) -> int:
        """Rows of a table; 0 also where it was not recorded."""
        return self.result.tables.rows.get(table, 0)


@dataclass(frozen=True)
class RunView(View):
    """A run that served requests."""

    workloads: tuple[str, ...]
    simulated_s: float
    warm_up_s: float
    duration_s: float
    measured_s: float
    power_stated: bool
    provisioned_w: float | None

    @cached_property
    def verdict(self) -> Verdict:
        """What its numbers say: it reads tables, so only pages that show it ask for it."""
        return verdict(self.result)

    @property
    def record(self) -> str:
        """ "full", "sampled" or "summary"."""
        return str(self.manifest["record"])

    @property
    def end_s(self) -> float:
        """End of what charts show: arrivals end there, or the run was stopped before."""
        return min(self.duration_s, self.simulated_s)


def read_run(listing: Listing, name: str) -> RunView:
    """A run of the listing, from the cache while its files are the same.

    Raises:
        Unreadable: it cannot be shown.
    """
    view = read_view(listing, name)
    if not isinstance(view, RunView):
        raise Unreadable(f"{name!r} is a placement: it served no request")
    return view


def read_view(listing: Listing, name: str) -> View:
    """A run or a placement of the listing, from the cache while its files are the same.

    Raises:
        Unreadable: it cannot be shown.
    """
    if name not in listing.names(RUN, PLACEMENT):
        raise Unreadable(f"there is no run {name!r} in {listing.root}")
    return guarded(lambda: _read(str(listing.root), name, stamp_of(listing.root / name)))


def stamp_of(
    folder: Path, parts: tuple[str, ...] = (MANIFEST, "metrics.json", "summary")
) -> tuple[int, ...]:
    """Changes when a result is written again: a cached view is of exactly these files."""
    stamp: list[int] = []
    for part in parts:
        path = folder / part
        if path.exists():
            status = path.stat()
            stamp += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(stamp)


# A resource, not data: views are never changed, and a copy of a manifest takes longer than a page.
@st.cache_resource(max_entries=64, show_spinner=False)
def _read(root: str, name: str, stamp: tuple[int, ...]) -> View:
    return _view(open_run(Path(root, name)), name, stamp)


#: Metrics that the pages show without asking whether they are there.
_SITE = ("goodput_fraction", "goodput_per_s", "arrival_rate", "peak_draw_w", "headroom_w",
         "over_budget_s", "goodput_per_mw")  # fmt: skip
_WORKLOAD = ("arrivals", "arrival_rate", "goodput_fraction", "ttft_p50", "ttft_p99", "tpot_p50",
             "tpot_p99", "e2e_p50", "e2e_p99")  # fmt: skip


def _check_metrics(result: RunResult, workloads: tuple[str, ...]) -> None:
    if not workloads:
        raise ResultError("the run has no workload, so there is nothing to show")
    needed = [*_SITE, *(f"{workload}.{name}" for workload in workloads for name in _WORKLOAD)]
    lacking = [name for name in needed if name not in result.metrics]
    if lacking:
        raise ResultError(f"its metrics.json lacks {', '.join(lacking)}")


def _view(result: RunResult, name: str, stamp: tuple[int, ...]) -> View:
    manifest = result.manifest
    if is_placement(manifest):
        view = View(name, stamp, result)
    else:
        window, power = manifest["window"], manifest["power"]
        workloads = tuple(str(workload["name"]) for workload in manifest["workloads"])
        _check_metrics(result, workloads)
        view = RunView(
            name=name,
            stamp=stamp,
            result=result,
            workloads=workloads,
            simulated_s=float(manifest["simulated_s"]),
            warm_up_s=float(window["warm_up_s"]),
            duration_s=float(window["duration_s"]),
            measured_s=float(window["measured_s"]),
            power_stated=bool(power["stated"]),
            provisioned_w=number(power["provisioned_w"]),
        )
    # Read once here, so that a page never meets a damaged one.
    assert isinstance(view.expectations, tuple)
    return view


def number(value: Any) -> float | None:
    """A number of a manifest, which may be absent."""
    return None if value is None else float(value)


def ask(view: View, sql: str, /, **parameters: Any) -> pd.DataFrame:
    """What a query over the tables of a run gives, from the cache while its files are the same.

    Tables have their own names in ``sql``, with ``_`` for ``/``: ``from summary_power where node =
    $node``. A table that was not recorded has no rows. ``parameters`` are bound, never written into
    the text, which is a constant of this code.

    Raises:
        ResultError: a table is not what the run wrote.
    """
    return _ask(view, view.name, view.stamp, sql, tuple(sorted(parameters.items())))


@st.cache_data(max_entries=1024, show_spinner=False)
def _ask(
    _view: View,
    name: str,
    stamp: tuple[int, ...],
    sql: str,
    parameters: tuple[tuple[str, Any], ...],
) -> pd.DataFrame:
    return query(_view.result, sql, dict(parameters))


_P = ParamSpec("_P")


def per_run(
    function: Callable[Concatenate[RunView, _P], _T],
) -> Callable[Concatenate[RunView, _P], _T]:
    """Keep what a function makes of a run while the run's files are the same.

    Its result is small and plain, its other arguments are plain values.
    """
    where = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def kept(run: RunView, *arguments: _P.args, **named: _P.kwargs) -> _T:
        given = (arguments, tuple(sorted(named.items())))
        return cast(_T, _kept(function, run, where, run.name, run.stamp, given))

    return kept


@st.cache_data(max_entries=256, show_spinner=False)
def _kept(
    _function: Callable[..., Any],
    _run: RunView,
    where: str,
    name: str,
    stamp: tuple[int, ...],
    given: tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]],
) -> Any:
    return _function(_run, *given[0], **dict(given[1]))


def part(read: Callable[[], _T]) -> _T | Missing:
    """What ``read`` returns, or why not: one damaged table does not hide the rest of a run."""
    try:
        return guarded(read)
    except Unreadable as error:
        return Missing(str(error))


def guarded(read: Callable[[], _T]) -> _T:
    """What ``read`` returns.

    Raises:
        Unreadable: it met files that are not what a run writes.
    """
    try:
        return read()
    except RackplanError as error:
        raise Unreadable(_line(str(error))) from error
    except _FAILURES as error:
        raise Unreadable(
            _line(f"its files are not what a run writes ({type(error).__name__}: {error})")
        ) from error


def _line(text: str) -> str:
    """One line of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST_REASON else flat[: _LONGEST_REASON - 1] + "…"
