"""A study as its folder tells it: ``study.json``, the levels of its axes, and where its runs are.

No run is opened: everything that a page shows of a study is in three small files.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import streamlit as st

from dashboard.listing import MANIFEST, STUDY, Listing
from dashboard.load import Unreadable, guarded, stamp_of
from sim.errors import ResultError
from sim.results.manifest import FORMAT
from sim.results.metrics import Metric, MetricDefinition, lookup
from sim.results.placement_metrics import PLACEMENT_METRICS
from sim.results.result import read_json

CONTENT, ROWS = "study.json", "study.parquet"
_PARTS = (MANIFEST, CONTENT, ROWS)
_OF_RUNS = ["point", "side", "seed", "status", "message", "run"]
#: Whether a point holds to all constraints.
YES, NO, UNDECIDED = "yes", "no", "undecided"

Label = str | int | float | bool


@dataclass(frozen=True)
class Line:
    """A line of ``constraints:`` judged at a point: its text, YES, NO or UNDECIDED, what was
    measured, and why there is no number."""

    text: str
    answer: str
    value: float | None
    unit: str
    reason: str
    metric: str
    threshold: float


@dataclass(frozen=True)
class Interval:
    """A mean (or a share) with the ends of its interval, each None where there is none."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""
    hits: int = 0
    runs: int = 0


@dataclass(frozen=True)
class StudyPoint:
    """A point over its seeds, as in ``sim.study.sweep.PointResult``.

    Attributes:
        labels: axis → label.
        changes: metric → the point less its baseline, in the metric's unit.
        losses: workload → loss by name, as a share.
        feasible: YES, NO or UNDECIDED; "" in a study without constraints.
        failed: (side, seed, message) of runs that failed.
        not_run: how many runs the budget left out.
    """

    number: int
    labels: Mapping[str, Label]
    metrics: Mapping[str, Metric]
    probabilities: Mapping[str, Interval]
    changes: Mapping[str, Interval]
    losses: Mapping[str, Mapping[str, Interval]]
    feasible: str
    constraints: tuple[Line, ...]
    failed: tuple[tuple[str, int, str], ...]
    not_run: int

    @property
    def words(self) -> str:
        """``servers 20, policy none``."""
        return ", ".join(f"{axis} {label}" for axis, label in self.labels.items())

    @property
    def broken(self) -> tuple[Line, ...]:
        """The constraints that do not hold."""
        return tuple(line for line in self.constraints if line.answer == NO)


@dataclass(frozen=True)
class StoredRun:
    """A run that a study rests on; ``folder`` is "" where it failed or was not made."""

    point: int
    side: str
    seed: int
    status: str
    folder: str


@dataclass(frozen=True)
class Axis:
    """An axis: its levels (label → path → value, as YAML), or the range that values are from."""

    name: str
    span: str
    levels: tuple[tuple[Label, Mapping[str, str]], ...] = ()

    @property
    def is_log(self) -> bool:
        """Whether values were drawn by their logarithm."""
        return "log" in self.span.split()

    def settings(self, label: Label) -> dict[str, str]:
        """What a label sets."""
        for other, settings in self.levels:
            if other == label and isinstance(other, bool) == isinstance(label, bool):
                return dict(settings)
        return {self.name: str(label)}


@dataclass(frozen=True)
class StoredStudy:
    """All of it.

    Attributes:
        objectives: (minimise or maximise, metric).
        best: number of the best point; None where there is none, or the objectives are several.
        certain: whether the best point is shown to be feasible.
        alike: points that are not told apart from the best; ``front``: those that none beats.
        why: why there is no answer, or what limits it.
        runs: of all points and sides; empty where ``runs_missing`` says why.
    """

    name: str
    folder: str
    outcome: str
    reason: str
    engine: str
    base: str
    seeds: tuple[int, ...]
    axes: tuple[Axis, ...]
    sampling: str
    objectives: tuple[tuple[str, str], ...]
    constraints: tuple[str, ...]
    baseline: Mapping[str, Any]
    answered: bool
    best: int | None
    certain: bool
    alike: tuple[int, ...]
    front: tuple[int, ...]
    why: str
    metrics: tuple[str, ...]
    points: tuple[StudyPoint, ...]
    warnings: tuple[str, ...]
    runs: tuple[StoredRun, ...] = ()
    runs_missing: str = ""
    stamp: tuple[int, ...] = ()
    by_number: Mapping[int, StudyPoint] = field(default_factory=dict, repr=False)


def read_study(listing: Listing, name: str) -> StoredStudy:
    """A study of the listing, from the cache while its files are the same.

    Raises:
        Unreadable: it is not there, or its files are not what a study writes.
    """
    if name not in listing.names(STUDY):
        raise Unreadable(f"there is no study {name!r} in {listing.root}")
    return guarded(lambda: _read(str(listing.root), name, stamp_of(listing.root / name, _PARTS)))


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(root: str, name: str, stamp: tuple[int, ...]) -> StoredStudy:
    folder = Path(root, name)
    manifest, content = (read_json(folder / part) for part in (MANIFEST, CONTENT))
    for part, found in ((MANIFEST, manifest), (CONTENT, content)):
        if not isinstance(found, dict):
            raise ResultError(f"{folder / part} is damaged: it is not an object")
    if manifest.get("format") != FORMAT:
        raise ResultError(
            f"{folder} was written in format {manifest.get('format')!r}; this rackplan reads "
            f"format {FORMAT}: run 'rackplan sweep' again"
        )
    points = tuple(_point(entry) for entry in content["points"])
    if not points:
        raise ResultError(f"{folder / CONTENT} has no point")
    by_number = {point.number: point for point in points}
    if len(by_number) < len(points):
        raise ResultError(f"{folder / CONTENT} is damaged: two points have the same number")
    axes = tuple(_axis(str(axis), manifest["axes"][axis]) for axis in content["axes"])
    if any(list(point.labels) != [axis.name for axis in axes] for point in points):
        raise ResultError(f"{folder / CONTENT} is damaged: a point has not one label for each axis")
    answer = content.get("answer") or {}
    named = [*answer.get("front", ()), *answer.get("alike", ())]
    named += [answer["best"]] if answer.get("best") is not None else []
    if not set(named) <= by_number.keys():
        raise ResultError(f"{folder / CONTENT} is damaged: its answer names points it lacks")
    runs, missing = _runs(folder / ROWS)
    return StoredStudy(
        name=str(content["name"]),
        folder=name,
        outcome=str(content["outcome"]),
        reason=str(manifest.get("reason") or ""),
        engine=str(content["engine"]),
        base=str(content["base"]),
        seeds=tuple(int(seed) for seed in content["seeds"]),
        axes=axes,
        sampling=_sampling(content.get("sampling")),
        objectives=tuple(_goal(entry) for entry in content.get("objectives", ())),
        constraints=tuple(str(text) for text in content.get("constraints", ())),
        baseline=dict(content.get("baseline") or {}),
        answered=bool(answer),
        best=answer.get("best"),
        certain=bool(answer.get("certain")),
        alike=tuple(answer.get("alike", ())),
        front=tuple(answer.get("front", ())),
        why=str(answer.get("reason", "")),
        metrics=tuple(dict.fromkeys(name for point in points for name in point.metrics)),
        points=points,
        warnings=tuple(
            dict.fromkeys(str(w) for entry in manifest["points"] for w in entry["warnings"])
        ),
        runs=runs,
        runs_missing=missing,
        stamp=stamp,
        by_number=by_number,
    )


def _point(entry: Mapping[str, Any]) -> StudyPoint:
    labels = dict(entry["labels"])
    if not all(
        isinstance(label, str) or (isinstance(label, (int, float)) and math.isfinite(label))
        for label in labels.values()
    ):
        raise ResultError("a label of a point is neither text nor a number")
    return StudyPoint(
        number=int(entry["point"]),
        labels={str(axis): label for axis, label in labels.items()},
        metrics={str(name): _metric(str(name), found) for name, found in entry["metrics"].items()},
        probabilities={
            str(text): Interval(
                None if not found["runs"] else found["hits"] / found["runs"],
                _number(found["low"]), _number(found["high"]), str(found["reason"]),
                int(found["hits"]), int(found["runs"]),
            )
            for text, found in entry["probabilities"].items()
        },
        changes={
            str(name): _interval(found, "change") for name, found in entry["changes"].items()
        },
        losses={
            str(workload): {str(name): _interval(loss, "mean") for name, loss in losses.items()}
            for workload, losses in entry["losses"].items()
        },
        feasible=str(entry.get("feasible", "")),
        constraints=tuple(_line(line) for line in entry.get("constraints", ())),
        failed=tuple(
            (str(end["side"]), int(end["seed"]), str(end["reason"])) for end in entry["failed"]
        ),
        not_run=int(entry.get("not_run", 0)),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    """A number that a study measured, or None.

    Raises:
        ResultError: it is none, or not finite.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ResultError(f"{value!r:.40} stands where a study writes a number")
    return float(value)


def _interval(found: Mapping[str, Any], key: str) -> Interval:
    return Interval(
        _number(found[key]), _number(found["low"]), _number(found["high"]),
        str(found.get("reason", "")),
    )  # fmt: skip


def _line(entry: Mapping[str, Any]) -> Line:
    return Line(
        str(entry["text"]), str(entry["answer"]), _number(entry["value"]), str(entry["unit"]),
        str(entry["reason"]), str(entry["metric"]), _number(entry["threshold"]) or 0.0,
    )  # fmt: skip


def _goal(entry: Mapping[str, Any]) -> tuple[str, str]:
    ((goal, metric),) = entry.items()
    if goal not in ("minimise", "maximise"):
        raise ResultError(f"an objective to {goal!r} is none that a study writes")
    return goal, str(metric)


def _sampling(entry: Mapping[str, Any] | None) -> str:
    return "" if entry is None else f"{entry['kind']}, seed {entry['seed']}"


def _axis(name: str, entry: Any) -> Axis:
    if isinstance(entry, str):
        return Axis(name, entry)
    levels = tuple(
        (level["label"], {str(path): str(value) for path, value in level["set"].items()})
        for level in entry
    )
    return Axis(name, "", levels)


def definition_of(name: str) -> MetricDefinition:
    """The definition behind a metric's full name, whatever its workload, pool or node is called.

    Raises:
        UnknownName: there is no such metric.
    """
    if name in PLACEMENT_METRICS:
        return PLACEMENT_METRICS[name]
    of, _, _ = name.rpartition(".")
    inner = [of[of.index("[") + 1 : -1]] if "[" in of and of.endswith("]") else []
    return lookup(name, workloads=[of], pools=inner, power_nodes=inner)


def _metric(name: str, entry: Mapping[str, Any]) -> Metric:
    definition = definition_of(name)
    if entry["unit"] != definition.unit:
        raise ResultError(f"{name} is in {entry['unit']!r} where {definition.unit!r} is right")
    return Metric(
        _number(entry["value"]), definition.unit, definition, str(entry.get("reason", "")),
        low=_number(entry.get("low")), high=_number(entry.get("high")), seeds=entry.get("seeds"),
    )  # fmt: skip


def _runs(file: Path) -> tuple[tuple[StoredRun, ...], str]:
    """The rows of a study, without their numbers; or none, and why."""
    with suppress(OSError):
        # Neither a link, nor a folder with links in it, nor a pipe that nobody writes to.
        if not stat.S_ISREG(file.lstat().st_mode):
            return (), f"{ROWS} is not a file of its own (links are not followed)"
    try:
        rows: Sequence[Mapping[str, Any]] = guarded(
            lambda: pq.read_table(file, columns=_OF_RUNS).to_pylist()
        )
        found = tuple(
            StoredRun(
                int(row["point"]), str(row["side"]), int(row["seed"]), str(row["status"]),
                str(row["run"] or ""),
            )
            for row in rows
        )  # fmt: skip
    except (Unreadable, KeyError, TypeError, ValueError) as error:
        return (), f"{ROWS} cannot be read: {error}"
    return found, ""
