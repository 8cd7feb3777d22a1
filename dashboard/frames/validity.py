"""Predictions beside measurements, and what of a run lies inside the calibrated region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.listing import MANIFEST, VALIDATION, Listing
from dashboard.load import RunView, Unreadable, View, ask, guarded, stamp_of
from sim.catalog.library import load
from sim.perf.calibration import read_tree
from sim.perf.expected import METRICS, expected_error, outside_range
from sim.perf.stacks import FILE, POOLED, stacks
from sim.validate.points import POINTS, Point, Validation, read_points, shipped

#: The choice of what ships with the product; no folder has this name, as it has blanks.
SHIPPED = "shipped with rackplan"
#: Classes of points, as a user reads them.
KNOWN, OTHER, FITTED = "calibrated stack, run held out", "other stack", "run of the fit"
#: Metric → its name, its unit.
MEASURES = {"tpot": ("TPOT", "s"), "throughput": ("throughput", "tokens/s"), "ttft": ("TTFT", "s")}


def read_validation(listing: Listing, name: str) -> Validation:
    """The points of a folder of the listing, or those that ship.

    Raises:
        Unreadable: it is none, or its files are not what ``rackplan validate`` writes.
    """
    if name == SHIPPED:
        return guarded(_shipped)
    if name not in listing.names(VALIDATION):
        raise Unreadable(f"there is no validation {name!r} in {listing.root}")
    folder = listing.root / name
    return guarded(lambda: _read(str(folder), stamp_of(folder, (MANIFEST, POINTS))))


@cache
def _shipped() -> Validation:
    return shipped()


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(folder: str, stamp: tuple[int, ...]) -> Validation:
    return read_points(Path(folder))


@st.cache_data(max_entries=32, show_spinner=False)
def points_frame(_validation: Validation, key: tuple[Any, ...], metric: str) -> pd.DataFrame:
    """One row a run that has ``metric``; ``key`` tells the validations apart.

    Columns: ``kind`` (of the three above), ``measured``, ``predicted``, ``error`` (predicted over
    measured, less one), ``clients``, ``input_tokens``, ``output_tokens``, ``stack``, ``llm``,
    ``gpu``, ``precision``, ``layout``, ``inside`` (the calibrated region) and ``outside`` (why
    not), ``place`` (file and line of the measurement).
    """
    rows = [
        {
            "kind": FITTED if point.in_fit else KNOWN if _known(point) else OTHER,
            "measured": point.values[metric][1],
            "predicted": point.values[metric][0],
            "clients": point.clients,
            "input_tokens": point.input_tokens,
            "output_tokens": point.output_tokens,
            "stack": point.stack,
            "llm": point.llm,
            "gpu": point.gpu,
            "precision": point.precision,
            "layout": point.layout,
            "outside": "; ".join(_outside(point)),
            "place": f"{point.file}:{point.line}",
        }
        for point in _validation.points
        if metric in point.values
    ]
    frame = pd.DataFrame(rows)
    if rows:
        frame["error"] = frame["predicted"] / frame["measured"] - 1.0
        frame["inside"] = frame["outside"] == ""
        frame["clients"] = frame["clients"].astype(float)
    return frame


def read_shipped() -> None:
    """Read what the page shows of every run; all of it is kept in memory."""
    recorded()
    products()
    load()
    points_frame(_shipped(), key_of(_shipped()), next(iter(MEASURES)))


def key_of(validation: Validation) -> tuple[Any, ...]:
    """What tells a validation from another one, and from itself written again."""
    return (str(validation.folder), stamp_of(validation.folder, (MANIFEST, POINTS)))


def _known(point: Point) -> bool:
    return point.stack in stacks()


_TENSOR = re.compile(r"(?:^| )TP (\d+)")


def _outside(point: Point) -> tuple[str, ...]:
    """What of a point no run that was fitted is near to, as a scenario's pool would be told."""
    tensor = _TENSOR.search(point.layout)
    return expected_error(
        point.stack if _known(point) else POOLED,
        llm=point.llm,
        gpu=point.gpu,
        tensor_parallel=int(tensor.group(1)) if tensor else 1,
        input_tokens=point.input_tokens,
        output_tokens=point.output_tokens,
        concurrency=point.clients,
    ).outside


@dataclass(frozen=True)
class Errors:
    """Absolute relative errors of some runs; ``median`` and ``p90`` are NaN of none."""

    runs: int
    median: float
    p90: float
    bias: float
    within_10: float
    within_25: float
    outside: int


def errors_of(frame: pd.DataFrame) -> Errors:
    """The errors of the runs of ``points_frame``; ``bias`` is the median with its sign."""
    if frame.empty:
        return Errors(0, *[float("nan")] * 5, 0)
    off = frame["error"].to_numpy()
    size = np.abs(off)
    return Errors(
        len(off),
        float(np.median(size)),
        float(np.percentile(size, 90)),
        float(np.median(off)),
        float(np.mean(size <= 0.10)),
        float(np.mean(size <= 0.25)),
        int((~frame["inside"]).sum()),
    )


def by(frame: pd.DataFrame, column: str) -> list[dict[str, str]]:
    """Errors of the groups of a column, largest groups first."""
    found = [(str(name), errors_of(part)) for name, part in frame.groupby(column)]
    found.sort(key=lambda one: (-one[1].runs, one[0]))
    return [
        {
            column: name,
            "runs": f"{errors.runs:,}",
            "median error": f"{100 * errors.median:.1f} %",
            "90 % within": f"{100 * errors.p90:.0f} %",
            "bias": f"{100 * errors.bias:+.1f} %",
            "within ±10 %": f"{100 * errors.within_10:.0f} %",
            "within ±25 %": f"{100 * errors.within_25:.0f} %",
            "outside": f"{errors.outside}",
        }
        for name, errors in found
    ]


def recorded() -> list[dict[str, str]]:
    """The record of the fits: what each class of errors was when it was held out."""
    rows = []
    for kind, entry in read_tree(*FILE)["errors"].items():
        row = {"class": str(kind), "runs": f"{entry['runs']:,}"}
        for metric in METRICS:
            middle, high = entry[metric]
            row[MEASURES[metric][0]] = f"{100 * middle:.1f} % (P90 {100 * high:.0f} %)"
        rows.append(row | {"rank correlation": f"{entry['tau']:.3f}"})
    return rows


def products() -> list[dict[str, str]]:
    """Errors of the times of matrix products, of shapes that their fit had not seen."""
    record = read_tree("calibration", "gemm_record.yaml")["gemm_record"]
    return [
        {
            "GPU": gpu,
            "data type": dtype,
            "products": f"{row['rows']:,}",
            "median error": f"{100 * row['held_out']['median']:.1f} %",
            "90 % within": f"{100 * row['held_out']['p90']:.0f} %",
            "bias": f"{100 * row['held_out']['bias']:+.1f} %",
        }
        for gpu, dtypes in record.items()
        for dtype, row in dtypes.items()
    ]


def source_words(validation: Validation) -> str:
    """Where the measurements are from."""
    known = load().sources
    titles = [
        f"{known[one].title}, {known[one].licence}" for one in validation.sources if one in known
    ]
    return "; ".join(titles) or f"tables {', '.join(validation.tables) or 'not named'}"


#: How a pool stands to the calibrated region.
INSIDE, OUTSIDE, NOT_CALIBRATED = "inside", "outside", "other step times"


def pool_rows(run: View) -> list[dict[str, str]]:
    """One row for each pool and GPU type: its error class, its expected errors, the region.

    Raises:
        ResultError: the table of requests is unreadable.
        KeyError, TypeError, ValueError: the manifest is not what a run writes.
    """
    lengths = _lengths(run) if isinstance(run, RunView) else {}
    rows = []
    for pool in run.manifest["pools"]:
        base = {"pool": str(pool["name"]), "LLM": str(pool["llm"])}
        errors = pool.get("expected_error") or {}
        for gpu, entry in pool.get("silicon", {}).items():
            words = f"step times of {entry['step_times']}: {entry['expected']}"
            rows.append(base | _row(str(gpu), "–", NOT_CALIBRATED, words))
        if not errors and not pool.get("silicon"):
            words = "its step times are measured ones: the errors of the fits are not of them"
            rows.append(base | _row("–", "–", NOT_CALIBRATED, words))
        for gpu, entry in errors.items():
            outside = [*map(str, entry["outside"]), *lengths.get(pool["name"], ())]
            row = _row(str(gpu), str(pool["stack"]), OUTSIDE if outside else INSIDE,
                       "; ".join(outside))  # fmt: skip
            for metric in METRICS:
                row[MEASURES[metric][0]] = _expected(entry[metric])
            row["draw"] = _expected(entry["draw"]) if "draw" in entry else "–"
            row["class"] = str(entry["class"])
            rows.append(base | row)
    return rows


def _row(gpu: str, stack: str, region: str, why: str) -> dict[str, str]:
    empty = dict.fromkeys((*(MEASURES[metric][0] for metric in METRICS), "draw"), "–")
    return {"GPU": gpu, "stack": stack, "class": "–", **empty, "region": region, "why": why}


def _expected(pair: Any) -> str:
    middle, high = (float(number) for number in pair)
    return f"±{100 * middle:.1f} % (P90 {100 * high:.0f} %)"


_MEANS = """
    select pool::varchar as pool, avg(input_tokens) as input_tokens,
           avg(output_tokens) as output_tokens
    from requests group by pool
"""


def _lengths(run: RunView) -> Mapping[str, list[str]]:
    """Pool → mean lengths of its requests, where recorded, that no measured run is near to."""
    found: dict[str, list[str]] = {}
    pools = {str(pool["name"]): pool for pool in run.manifest["pools"]}
    for row in ask(run, _MEANS).to_dict("records"):
        pool = pools.get(str(row["pool"]))
        if pool is None or not pool.get("expected_error"):
            continue
        for name in ("input_tokens", "output_tokens"):
            if not np.isnan(row[name]):
                far = outside_range(pool["stack"], name, float(row[name]), "mean ")
                found.setdefault(str(row["pool"]), []).extend(far)
    return found


def constants(run: View) -> list[dict[str, str]]:
    """The files of constants that a run's speeds rest on, and the user's own if it has some."""
    stated = run.manifest.get("calibration") or {}
    rows = [
        {"file": f"data/{file}", "fitted": str(entry.get("fitted") or "–"),
         "to": _title(entry.get("source")), "SHA-256": str(entry.get("sha256"))}
        for file, entry in (stated.get("constants") or {}).items()
    ]  # fmt: skip
    own = stated.get("own")
    if own:
        errors = ", ".join(
            f"{100 * error:.0f} % ({dtype})" for dtype, error in own["error"].items()
        )
        rows.append(
            {"file": str(own["file"]), "fitted": "your own",
             "to": f"products on {own['gpu']}, {errors} off on shapes held out",
             "SHA-256": str(own["sha256"])}
        )  # fmt: skip
    return rows


def _title(source: Any) -> str:
    known = load().sources
    return known[source].title if source in known else str(source or "–")
