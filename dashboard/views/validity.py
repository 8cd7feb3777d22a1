"""Validity: why believe it? Predictions beside measurements, and where this run stands."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts.validity import EDGE, against, errors
from dashboard.choices import choose_one
from dashboard.frames.validity import (
    FITTED,
    INSIDE,
    KNOWN,
    MEASURES,
    NOT_CALIBRATED,
    OTHER,
    OUTSIDE,
    SHIPPED,
    Errors,
    by,
    constants,
    errors_of,
    key_of,
    points_frame,
    pool_rows,
    products,
    read_validation,
    recorded,
    source_words,
)
from dashboard.listing import VALIDATION, Listing
from dashboard.load import Missing, Unreadable, View, part
from dashboard.parts import absent, chart, foot, head, notice, table
from dashboard.shell import choose, choose_view, open_page
from dashboard.style import MARKS, ink
from sim.perf.stacks import POOLED
from sim.validate.points import Validation

_HALF_PX = 460
#: Choices by their words; the first is the default.
_RUNS = {"never used for fitting": False, "all, also those of the fit": True}
_SIZES = {
    "clients": ("clients", "clients of the run (log scale)"),
    "tokens in": ("input_tokens", "input tokens of a request (log scale)"),
    "tokens out": ("output_tokens", "output tokens of a request (log scale)"),
    "what was measured": ("measured", ""),
}


def validity() -> None:
    """Draw the page."""
    listing = open_page("Validity", "Why believe it?")
    validation = _chosen(listing)
    view = choose_view(listing)
    pools: list[dict[str, str]] | Missing | None = None
    if view is not None:
        pools = part(lambda: pool_rows(view))
        _stands(view, pools)
    if validation is not None:
        _product(validation)
    if view is not None:
        _pools(view, pools)
    _records()


def _chosen(listing: Listing) -> Validation | None:
    name = choose(listing, (SHIPPED, *listing.names(VALIDATION)), "Measurements", "validation")
    try:
        return read_validation(listing, name)
    except Unreadable as error:
        notice("bad", f"{name} cannot be shown", str(error), key="validation")
        return None


def _stands(view: View, pools: list[dict[str, str]] | Missing | None) -> None:
    """Which of the run's pools are inside the calibrated region."""
    if isinstance(pools, Missing) or not pools:
        why = pools.reason if isinstance(pools, Missing) else "it has no pool"
        notice("none", "This run: not known", why, key="stands")
        return
    count = {state: sum(row["region"] == state for row in pools) for state in
             (INSIDE, OUTSIDE, NOT_CALIBRATED)}  # fmt: skip
    names = {state: ", ".join(row["pool"] for row in pools if row["region"] == state)
             for state in count}  # fmt: skip
    lines = [
        f"{row['pool']} on {row['GPU']}: expect TPOT {row['TPOT']}, TTFT {row['TTFT']}, throughput "
        f"{row['throughput']}; error class: {row['class']}"
        for row in pools
        if row["region"] != NOT_CALIBRATED
    ]
    lines += [f"{row['pool']}: {row['why']}" for row in pools if row["region"] == OUTSIDE]
    if count[OUTSIDE]:
        state, title = "near", f"outside the calibrated region: {names[OUTSIDE]}"
    elif count[INSIDE]:
        state, title = "good", f"inside the calibrated region: {names[INSIDE]}"
    else:
        state, title = "none", "no pool has predicted step times"
    if count[NOT_CALIBRATED]:
        lines.append(f"{names[NOT_CALIBRATED]}: {_other(pools)}")
    if any(row["stack"] == POOLED for row in pools):
        lines.append(
            "pooled parameters, as the scenario names no serving stack: pools[].stack takes those "
            "of one (rackplan catalog stack)"
        )
    detail = "\n".join(dict.fromkeys(lines[:5]))
    notice(state, f"{MARKS[state]} This run: {title}", detail, key="stands")


def _other(pools: list[dict[str, str]]) -> str:
    return next(row["why"] for row in pools if row["region"] == NOT_CALIBRATED)


@st.fragment
def _product(validation: Validation) -> None:
    """Predicted against measured, with what is looked at."""
    if not validation.points:
        notice("none", "No predicted serving run", "It holds kernels only; see its report.md.",
               key="no-points")  # fmt: skip
        return
    places = st.columns(3, gap="small")
    names = [words for words, _ in MEASURES.values()]
    name = choose_one(places[0], "Measure", names, "quantity", names[0])
    runs = choose_one(places[1], "Measured runs", list(_RUNS), "runs", next(iter(_RUNS)))
    size = choose_one(places[2], "Error against", list(_SIZES), "size", next(iter(_SIZES)))
    metric = next(one for one, (words, _) in MEASURES.items() if words == name)
    frame = part(lambda: points_frame(validation, key_of(validation), metric))
    if isinstance(frame, Missing) or frame.empty:
        absent(frame.reason if isinstance(frame, Missing) else f"No run of it has a {name}.")
        return
    _sentence(validation, frame, name)
    shown = frame if _RUNS[runs] else frame[frame["kind"] != FITTED]
    if shown.empty:
        absent("Every run is one that the fit saw.", "Choose all of them above.")
        return
    with st.grid(2, min_column_width=_HALF_PX, key="charts"):
        with st.container(key="against"):
            _against(validation, shown, metric)
        with st.container(key="errors"):
            _errors(validation, shown, metric, size)
    head(f"{name} by stack, runs as chosen above", "by-stack")
    table(by(shown, "stack"), "stacks-table")


def _sentence(validation: Validation, frame: pd.DataFrame, name: str) -> None:
    """What a manager reads: how far off, on data that no fit saw, and which data."""
    known, other = (errors_of(frame[frame["kind"] == kind]) for kind in (KNOWN, OTHER))
    fitted = int((frame["kind"] == FITTED).sum())
    parts = []
    if known.runs:
        parts.append(f"{known.runs:,} runs of calibrated stacks: {_off(known)}")
    if other.runs:
        parts.append(f"{other.runs:,} of stacks without a calibration: {_off(other)}")
    if parts:
        with st.container(key="head-sentence"):
            st.text(
                f"{name[0].upper()}{name[1:]} of measured runs never used for fitting. "
                f"{'. '.join(parts)}."
            )
    else:
        st.text("Every run is one that the shipped parameters were fitted to.")
    every = "" if validation.every == 1 else f"; only every {validation.every}-th run was simulated"
    with st.container(key="small-source"):
        st.text(
            f"Measured: {source_words(validation)}. Predicted by rackplan {validation.rackplan}, "
            f"each run simulated{every}. {fitted:,} more runs are of the half that the parameters "
            "were fitted to: not in the sentence above. docs/validation.md says what is known of "
            "the errors, also of runs whose prompts were probably cached."
        )


def _off(found: Errors) -> str:
    return (
        f"median error {100 * found.median:.1f} %, 90 % within {100 * found.p90:.0f} %, "
        f"{found.outside} outside the calibrated region"
    )


def _against(validation: Validation, shown: pd.DataFrame, metric: str) -> None:
    name, unit = MEASURES[metric]
    head(f"Predicted {name} against measured", "against")
    chart(
        against(shown, name, unit, ink()),
        "against",
        f"Predicted against measured {name} of {len(shown)} runs, with bands of 10 and 25 %",
        "dashes: they agree; bands: ±10 % and ±25 %; hollow: outside the calibrated region",
        _csv(shown),
        f"{validation.folder.name}-{metric}",
    )


def _errors(validation: Validation, shown: pd.DataFrame, metric: str, size: str) -> None:
    name, unit = MEASURES[metric]
    column, title = _SIZES[size]
    title = title or f"measured {name} ({unit}, log scale)"
    head(f"Error of {name} against {size}", "errors")
    known = shown[shown[column].notna()]
    if known.empty:
        absent("All of these runs had all requests queued at once, so they had no clients.")
        return
    far = int((known["error"].abs() > EDGE).sum())
    words = ["bands: ±10 % and ±25 %"]
    if far:
        words.append(f"triangles: {far} runs are off by more than 100 %")
    if len(known) < len(shown):
        words.append(f"{len(shown) - len(known)} runs without clients (all queued) are left out")
    chart(
        errors(known, column, title, ink()),
        "errors",
        f"Relative error of {name} of {len(known)} runs against {size}",
        "; ".join(words),
        _csv(known),
        f"{validation.folder.name}-{metric}-errors",
    )


def _csv(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="inside")


def _pools(view: View, pools: list[dict[str, str]] | Missing | None) -> None:
    """The run's pools with their expected errors, its warnings, and the constants it took."""
    head(f"Pools of this run and their expected errors: {view.name}", "pools")
    if isinstance(pools, Missing):
        absent(f"{pools.reason}.", "Run the scenario again.")
    elif pools:
        table(pools, "pools-table")
        foot(
            "median (P90) of absolute errors of held-out measured runs of the class; draw: of LLMs "
            "held out; region: whether measured runs are near to LLM, GPU, layout and mean lengths",
            "pools", f"{view.name}-expected-errors", pd.DataFrame(pools),
        )  # fmt: skip
    for warning in view.warnings:
        st.text(f"{MARKS['near']} {warning}")
    rows = part(lambda: constants(view))
    if isinstance(rows, Missing):
        absent(f"What its constants are is not known: {rows.reason}.")
    elif rows:
        with st.expander("Constants that its speeds and draws rest on"):
            table(rows, "constants-table")


def _records() -> None:
    """What the fits say of themselves, for every run."""
    with st.grid(2, min_column_width=_HALF_PX, key="records"):
        with st.container(key="record-serving"):
            head("Errors by class when held out: the record of the fits", "record")
            table(recorded(), "record-table")
            st.text(
                "data/calibration/stacks.yaml: runs that a fit did not see. Unseen: each of the "
                "calibrated stacks, LLMs, GPUs left out whole and predicted by the others. These "
                "are the errors that a run's pools are given."
            )
        with st.container(key="record-products"):
            head("Matrix products, shapes held out of their fit", "products")
            table(products(), "products-table", height=215)
            st.text("data/calibration/gemm_record.yaml; docs/validation.md has the other kernels.")


validity()
