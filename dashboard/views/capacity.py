"""Capacity: until when does it last, and what of the provisioned power is stranded?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.charts.capacity import told_chart
from dashboard.frames.capacity import (
    MOST_MARKS,
    Stranded,
    chart_frame,
    first_plan,
    marks,
    part_rows,
    part_words,
    read_plan,
    stranded,
)
from dashboard.listing import PLAN, Listing
from dashboard.load import Missing, RunView, Unreadable, part
from dashboard.parts import absent, chart, foot, head, notice, table
from dashboard.shell import choose, choose_view, open_page
from dashboard.style import MARKS, ink
from dashboard.urls import last
from sim.plan.answer_files import SavedPlan
from sim.plan.cost_told import chart_of
from sim.plan.told import BAD, GOOD, OPEN, Chart, Part, Table
from sim.results.wording import span
from sim.units import format_si

_COMMAND = "rackplan plan scenarios/studies/until-when.yaml"
#: A minimum that lets two halves stand side by side from a 1,280-pixel window on.
_HALF_PX = 460
#: Tables of more columns take the whole width.
_NARROW = 4
_STATES = {GOOD: "good", OPEN: "near", BAD: "bad"}


def capacity() -> None:
    """Draw the page."""
    listing = open_page("Capacity", "Until when does it last, and what is stranded?")
    plan = None
    with st.grid(2, min_column_width=_HALF_PX, key="halves"):
        with st.container(key="plan-half"):
            plan = _plan(listing)
        with st.container(key="run-half"):
            _run(listing)
    if plan is not None:
        _in_full(plan)


def _plan(listing: Listing) -> SavedPlan | None:
    """The answer of the plan that the user chose, its first charts and its reasons."""
    head("The answer of a plan", "plan")
    names = listing.names(PLAN)
    if not names:
        why = listing.missing or f"The folder {listing.root} holds no answer of a plan."
        words = f"{why}\nMake one, then reload this page: {_COMMAND} --out {listing.root}"
        notice("none", "No plan to show yet", words, key="no-plan")
        return None
    first = 0 if last("plan") in names else first_plan(listing)
    name = choose(listing, names, "Plan", "plan", first)
    try:
        plan = read_plan(listing, name)
    except Unreadable as error:
        notice("bad", f"{name} cannot be shown", str(error), key="plan")
        return None
    told = plan.told
    state = _STATES[told.meant]
    notice(state, f"{MARKS[state]} {told.headline}", told.asked, key="headline")
    first = next((one for one in told.parts if one.charts), None)
    if first is not None:
        _chart(plan, first.charts[0], "first")
    if told.reasons:
        st.text("\n".join(told.reasons))
    return plan


def _chart(plan: SavedPlan, told: Chart, key: str) -> None:
    """A chart with its title, and its numbers as a file."""
    frame = chart_frame(told)
    place = f"{plan.folder.name}-{key}"
    head(told.title, f"chart-{key}")
    if marks(told) > MOST_MARKS:
        foot(f"{marks(told):,} values: too many to draw", key, place, frame)
        return
    chart(told_chart(told, ink()), key, told.title, _caption(told), frame, place)


def _caption(told: Chart) -> str:
    ends = any(one.low for one in told.series)
    words = [
        told.note,
        "intervals: as its table says" if ends and not told.note else "",
        ", ".join(f"{name} {level:,.4g}" for name, level in told.limits),
    ]
    return "; ".join(word for word in words if word) or f"{told.y} by {told.x}"


def _in_full(plan: SavedPlan) -> None:
    """What the answer rests on: all of its parts, then what it takes for granted."""
    head("What the answer rests on", "full")
    drawn = False
    for number, one in enumerate(plan.told.parts):
        charts = list(one.charts)
        if charts and not drawn:
            charts, drawn = charts[1:], True
        _part(plan, one, charts, f"part-{number}")
    with st.expander("Assumptions, definitions, warnings and sources"):
        for number, one in enumerate(plan.more):
            _part(plan, one, one.charts, f"more-{number}")
    with st.expander("The question as it was asked"):
        changes = [f"--set {change}" for change in plan.question.sets]
        if plan.question.seeds is not None:
            changes.append(f"--seeds {plan.question.seeds}")
        if changes:
            st.text(f"changed by {' '.join(changes)}")
        st.code(plan.question.text, language="yaml", line_numbers=True)
    st.text(
        f"{plan.question.file}: {plan.evidence.runs:,} runs on the {plan.evidence.engine} engine, "
        f"rackplan {plan.versions.get('rackplan', 'unknown')}"
    )


def _part(plan: SavedPlan, one: Part, charts: Sequence[Chart], key: str) -> None:
    """A heading and what stands under it; one chart and one table stand side by side."""
    if not (one.sentences or one.tables or charts):
        return
    head(one.heading, key)
    if one.sentences:
        st.text("\n".join(one.sentences))
    if not (charts or one.tables):
        return
    narrow = [number for number, rows in enumerate(one.tables) if len(rows.columns) <= _NARROW]
    columns = 2 if len(charts) + len(narrow) > 1 else 1
    with st.grid(columns, min_column_width=_HALF_PX, key=f"grid-{key}"):
        for number, told in enumerate(charts):
            with st.container(key=f"{key}-c{number}"):
                _chart(plan, told, f"{key}-chart-{number}")
        for number in narrow:
            with st.container(key=f"{key}-t{number}"):
                _table(plan, one.tables[number], f"{key}-table-{number}")
    for number, rows in enumerate(one.tables):
        if number not in narrow:
            _table(plan, rows, f"{key}-table-{number}")


def _table(plan: SavedPlan, told: Table, key: str) -> None:
    """Cells as they are told; rows that stand for the answer have an arrow."""
    if told.title:
        st.text(told.title)
    frame = _frame(told)
    table(frame, f"{plan.folder.name}-{key}")
    foot(told.note, key, f"{plan.folder.name}-{key}", frame)


def _frame(told: Table) -> pd.DataFrame:
    marked = {GOOD: MARKS["good"], BAD: MARKS["bad"]}
    rows = [
        [f"{marked.get(told.words.get(cell, ''), '')} {cell}".strip() for cell in row]
        for row in told.rows
    ]
    names: list[str] = []
    for name in told.columns:  # a frame needs names that differ
        names.append(name if name not in names else f"{name}{' ' * (len(names) + 1)}")
    frame = pd.DataFrame(rows, columns=names)
    if told.chosen:
        frame.insert(0, "", ["→" if row in told.chosen else "" for row in range(len(rows))])
    return frame


def _run(listing: Listing) -> None:
    """Where the provisioned power of the run stayed."""
    head("The provisioned power of a run", "run")
    view = choose_view(listing)
    if view is None:
        return
    if not isinstance(view, RunView):
        notice("none", f"{view.name} is a placement", "It drew no power.", key="placement")
        return
    found = part(lambda: stranded(view))
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "A run under 'power:' that measures has it (docs/cost.md).")
        return
    _says(view, found)
    told = chart_of(found.fall)
    over = f"means over {span(view.measured_s)} after the warm-up; parts sum to what is provisioned"
    frame = pd.DataFrame(part_rows(found))
    chart(told_chart(told, ink()), "waterfall", told.title, over, frame, f"{view.name}-power-parts")
    with st.container(key="small-parts"):
        st.text("\n".join(part_words(found)))
        for note in found.fall.notes:
            st.text(f"{MARKS['near']} {note}")


def _says(run: RunView, found: Stranded) -> None:
    """The answer in two lines."""
    largest = found.largest
    most = "" if largest is None else f", most of it: {largest.name} ({found.share(largest.watts)})"
    peak = run.metrics["peak_draw_w"].value
    drew = f"drawn on average: {format_si(found.drawn_w, 'W')} ({found.share(found.drawn_w)})"
    if peak is not None:
        drew += f", at peak {format_si(peak, 'W')} ({found.share(peak)})"
    notice(
        "none",
        f"Stranded: {found.share(found.stranded_w)} of {format_si(found.provisioned_w, 'W')}{most}",
        f"{drew}; within objectives: {found.share(found.useful_w)}",
        key="stranded",
    )


capacity()
