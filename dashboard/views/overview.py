"""Overview: does this run meet its objectives within its power, and what limits it first?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import verdicts
from dashboard.charts import overview as charts
from dashboard.charts.axes import Window
from dashboard.choices import choose_one
from dashboard.frames.events import bands
from dashboard.frames.overview import Draw, Latency, draw_series, latency_series
from dashboard.load import Missing, RunView, part
from dashboard.parts import absent, bin_text, card, chart, head, notice, table
from dashboard.shell import chosen_run
from dashboard.style import MARKS, ink
from sim.results.wording import percent, shown
from sim.units import format_si

#: A minimum that lets two charts stand side by side from a 1,280-pixel window on.
_CHART_PX = 460


def overview() -> None:
    """Draw the page."""
    run = chosen_run("Overview", "Does this run meet its objectives within its power?")
    if run is None:
        return
    judged = part(lambda: run.verdict)
    if isinstance(judged, Missing):
        notice("bad", f"{run.name} cannot be judged", judged.reason)
        return
    _verdict(run)
    _cards(run)
    with st.grid(2, min_column_width=_CHART_PX, key="charts"):
        with st.container(key="latency"):
            _latency(run)
        with st.container(key="power"):
            _power(run)
    _objectives(run)
    with st.grid(2, min_column_width=_CHART_PX, key="notes"):
        with st.container(key="expectations"):
            _expectations(run)
        with st.container(key="warnings"):
            _warnings(run)


def _verdict(run: RunView) -> None:
    blocks = [verdicts.objectives(run), verdicts.power(run), verdicts.expectations(run)]
    with st.container(key="verdict"):
        for column, (place, block) in zip(
            st.columns(3, gap="small"), enumerate(blocks), strict=True
        ):
            with column, st.container(key=f"{block.state}-block-{place}"):
                with st.container(key=f"title-{place}"):
                    st.text(block.title)
                if block.detail:
                    st.text(block.detail)
        with st.container(key="head-binding"):
            st.text(run.verdict.binding_sentence)
        also = [limit.sentence for limit in run.verdict.limits[1:3] if limit.binds]
        if run.verdict.next_step:
            also.append(f"Try next: {run.verdict.next_step}")
        if also:
            with st.container(key="small-next"):
                st.text("\n".join(also))


def _cards(run: RunView) -> None:
    cards = st.columns(4, gap="small")
    site = run.metrics
    rate, arrivals = site["goodput_per_s"], site["arrival_rate"]
    card(
        cards[0],
        "Goodput",
        site["goodput_fraction"],
        f"{shown(rate)} of {shown(arrivals)} arriving",
    )
    name, p99, objective_s = verdicts.worst_ttft(run)
    several = len(run.workloads) > 1
    of = "no TTFT objective is stated"
    if objective_s is not None:
        of = f"objective {format_si(objective_s, 's')}"
    label = "TTFT p99, worst workload" if several else "TTFT p99"
    card(cards[1], label, p99, f"{name}: {of}" if several else of)
    peak, headroom = site["peak_draw_w"].value, site["headroom_w"].value
    of = "no budget is stated" if run.power_stated else "power is unlimited"
    if peak is not None and headroom is not None and peak + headroom > 0.0:
        of = f"{percent(peak / (peak + headroom))} of {format_si(peak + headroom, 'W')}"
    card(cards[2], "Peak draw", site["peak_draw_w"], of)
    provisioned = run.provisioned_w
    of = "" if provisioned is None else f"{format_si(provisioned, 'W')} provisioned"
    card(cards[3], "Goodput per MW", site["goodput_per_mw"], of)


def _latency(run: RunView) -> None:
    workload = verdicts.worst_ttft(run)[0]
    if len(run.workloads) > 1:
        workload = choose_one(
            st.sidebar, "Workload of the TTFT chart", run.workloads, "workload", workload
        )
    head("Time to first token, by arrival")
    series = part(lambda: latency_series(run, workload))
    if isinstance(series, Missing):
        absent(f"{series.reason}.", "Look at its rate, its duration and what was refused.")
        return
    frame = series.frame.rename(columns={"p50": "ttft_p50_s", "p99": "ttft_p99_s", "n": "requests"})
    chart(
        charts.latency_chart(series, Window(run.end_s, run.warm_up_s), ink(), _bands(run)),
        "latency",
        f"TTFT p50 and p99 of {workload} over simulated time, with its objective",
        _latency_caption(series),
        frame,
        f"{run.name}-ttft",
    )


def _bands(run: RunView) -> pd.DataFrame | None:
    found = part(lambda: bands(run))
    return None if isinstance(found, Missing) else found


def _latency_caption(series: Latency) -> str:
    text = f"p50 and p99 of arrivals in {bin_text(series.bin_s)}"
    text += (
        f", each within {percent(series.relative_error)}" if series.relative_error else ", exact"
    )
    if series.without:
        text += f"; {series.without:,} requests got no first token and are not in it"
    if series.objective_s is None:
        text += "; no TTFT objective is stated"
    elif charts.is_far(series):
        text += f"; objective {format_si(series.objective_s, 's')}, far above"
    return text


def _power(run: RunView) -> None:
    head("Power drawn from the utility")
    series = part(lambda: draw_series(run))
    if isinstance(series, Missing):
        absent(f"{series.reason}.", "Run the scenario again.")
        return
    chart(
        charts.draw_chart(series, Window(run.end_s, run.warm_up_s), ink(), _bands(run)),
        "power",
        "Mean and peak draw of the site over simulated time, with its budget",
        _draw_caption(run, series),
        series.frame,
        f"{run.name}-draw",
    )


def _draw_caption(run: RunView, series: Draw) -> str:
    text = f"mean and peak in {bin_text(series.bin_s)}, losses included"
    if series.budget_w is None:
        text += "; no budget is stated" if run.power_stated else "; power is unlimited"
    for name, limit in charts.far_limits(series).items():
        text += f"; {name} {format_si(limit, 'W')}, far above"
    return text


def _objectives(run: RunView) -> None:
    head("Objectives")
    table(verdicts.objective_rows(run), "objectives-table")


def _expectations(run: RunView) -> None:
    head("Expectations")
    if not run.expectations:
        absent(
            "The scenario states none.",
            "Add lines such as 'chat.ttft_p99 <= 2 s' under 'expect:' and run it again.",
        )
        return
    rows = [
        {
            "": verdicts.mark(run, line.passed).strip() or MARKS["none"],
            "expected": line.text,
            "measured": "–"
            if line.metric is None or line.metric.value is None
            else shown(line.metric),
            "why": line.reason,
        }
        for line in run.expectations
    ]
    if not any(row["why"] for row in rows):
        for row in rows:
            del row["why"]
    table(rows, "expectations-table")


def _warnings(run: RunView) -> None:
    head("Warnings")
    if not run.warnings:
        absent("None.", "")
        return
    # Lines of text wrap; a table would cut a long warning off.
    for warning in run.warnings:
        st.text(f"{MARKS['near']} {warning}")


overview()
