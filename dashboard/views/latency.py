"""Latency: who waits, for how long, and why?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import verdicts
from dashboard.charts import latency as charts
from dashboard.charts import overview as lines
from dashboard.charts.axes import Window, moment_words
from dashboard.choices import box, choose_one, clicked, offer, picked, switched
from dashboard.frames import latency as frames
from dashboard.frames.events import bands
from dashboard.frames.latency import MEASURES, Distribution, Measure, Misses
from dashboard.frames.requests import SHOWN, Story, parts_words, story, worst
from dashboard.frames.split import Split, ttft_split
from dashboard.load import Missing, RunView, part
from dashboard.parts import absent, bin_text, chart, foot, head, table
from dashboard.shell import chosen_run
from dashboard.style import ink
from sim.results.wording import percent, shown, span
from sim.units import format_si

#: A minimum that lets two charts stand side by side from a 1,280-pixel window on.
_CHART_PX = 460
#: What the worst requests are ordered by, for each measure.
_ORDER = {"ttft": "TTFT", "queue": "TTFT", "tpot": "TPOT", "itl": "TPOT", "e2e": "end-to-end time"}
_STATES = {True: "good", False: "bad", None: "none"}
_EVERY, _NONE = "every cause", "none"


def latency() -> None:
    """Draw the page."""
    run = chosen_run("Latency", "Who waits, for how long, and why?")
    if run is not None:
        _body(run)


@st.fragment
def _body(run: RunView) -> None:
    workload, measure, tail = _choices(run)
    found = part(lambda: frames.distribution(run, workload, measure))
    missed = part(lambda: frames.misses(run, workload))
    _sentences(run, workload, measure, found, missed)
    every = part(lambda: worst(run, workload, measure.word))
    options = _causes(missed, every)
    clicked("cause", "misses-chart", "cause", "key", _EVERY)
    cause = offer("cause", options, _EVERY)
    events = part(lambda: bands(run))
    shades = None if isinstance(events, Missing) else events
    with st.grid(2, min_column_width=_CHART_PX, key="charts"):
        with st.container(key="distribution"):
            _distribution(run, workload, measure, found, tail)
        with st.container(key="series"):
            _series(run, workload, measure, shades)
        with st.container(key="split"):
            _split(run, workload, shades)
        with st.container(key="misses"):
            _misses(run, workload, missed, cause)
    _worst(run, workload, measure, every, options)


def _causes(missed: Misses | Missing, every: pd.DataFrame | Missing) -> list[str]:
    """What the box of causes offers: those that were counted, most first, then those listed."""
    counted = [] if isinstance(missed, Missing) else list(missed.frame["key"])
    listed = [] if isinstance(every, Missing) else list(every["key"])
    return list(dict.fromkeys([_EVERY, *counted, *listed]))


def _choices(run: RunView) -> tuple[str, Measure, bool]:
    """Workload, measure and whether the tail is shown; all of them in the URL."""
    worst_one = part(lambda: verdicts.worst_ttft(run)[0])
    first = run.workloads[0] if isinstance(worst_one, Missing) else worst_one
    boxes = st.columns([2, 2, 3], gap="small", vertical_alignment="bottom")
    workload = choose_one(boxes[0], "Workload", run.workloads, "workload", first)
    foremost = part(lambda: frames.foremost(run, workload))
    shown = "TTFT" if isinstance(foremost, Missing) else foremost
    name = choose_one(boxes[1], "Measure", list(MEASURES), "measure", shown)
    tail = switched(boxes[2], "Tail: share that took longer, log scale", "tail")
    return workload, MEASURES[name], tail


def _sentences(
    run: RunView,
    workload: str,
    measure: Measure,
    found: Distribution | Missing,
    missed: Misses | Missing,
) -> None:
    """The answer: how many met what they should, the main cause of misses, and when most."""
    state, title, detail = "none", "", ""
    if isinstance(missed, Missing):
        title = f"{missed.reason}."
    else:
        state = _state(run, workload)
        title = frames.met_words(run, workload, missed)
        if missed.n:
            first = missed.frame.iloc[0]
            detail = f"Main cause: {first['label']} ({percent(first['share'])} of all arrivals)"
            if missed.worst is not None:
                start, end, share = missed.worst
                detail += (
                    f"; worst between {moment_words(start, run.end_s)} and "
                    f"{moment_words(end, run.end_s)}, when {percent(share)} missed"
                )
            detail += ". "
    if not isinstance(found, Missing):
        detail += _measure_words(run, workload, measure, found)
    with st.container(key=f"{state}-block-answer"):
        with st.container(key="title-answer"):
            st.text(title)
        st.text(detail)


def _state(run: RunView, workload: str) -> str:
    """Whether the workload met its objectives, as a key of ``style.STATES``."""
    if run.outcome == "partial":
        return "near"
    found = part(lambda: next(w for w in run.verdict.workloads if w.name == workload))
    return "none" if isinstance(found, Missing) else _STATES[found.met]


def _measure_words(run: RunView, workload: str, measure: Measure, found: Distribution) -> str:
    name = f"{workload}.{measure.word}"
    half, most = (run.metrics.get(f"{name}_{q}") for q in ("p50", "p99"))
    title = measure.title[0].upper() + measure.title[1:]
    text = ""
    if half is not None and most is not None and half.value is not None:
        text = f"{title}: half within {shown(half)}, 99 % within {shown(most)}"
    if found.within is not None and found.objective_s is not None:
        text += (
            f"{'; ' if text else title + ': '}{within_words(found)} within the objective of "
            f"{format_si(found.objective_s, 's')}"
        )
    return f"{text}." if text else ""


def within_words(found: Distribution) -> str:
    """The share within the objective, or between which two it is: its bin may hold both."""
    assert found.within is not None
    low, high = (percent(share) for share in found.within)
    return low if low == high else f"{low} to {high}"


def _distribution(
    run: RunView, workload: str, measure: Measure, found: Distribution | Missing, tail: bool
) -> None:
    head(f"How long: {measure.title} of {workload}", "distribution")
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "Look at its rate, its duration and what was refused.")
        return
    exact = frames.quantiles(run, workload, measure)
    chart(
        charts.distribution_chart(found, measure.title, ink(), tail, exact),
        "distribution",
        f"Share of requests of {workload} by {measure.title}, with its objective",
        _distribution_caption(run, workload, measure, found),
        found.frame.rename(columns={"share": "share_within", "beyond": "share_longer"}),
        f"{run.name}-{workload}-{measure.word}-distribution",
    )


def _distribution_caption(
    run: RunView, workload: str, measure: Measure, found: Distribution
) -> str:
    text = f"{measure.title}: {measure.definition}; {found.n:,} "
    if measure.word == "itl":
        text += "gaps"
    else:
        text += "of those that arrived after the warm-up" if run.warm_up_s else "requests"
    text += f"; values within {percent(found.relative_error)}"
    zero = found.frame.loc[found.frame["value_s"] <= 0.0, "n"].sum() / found.n
    if zero:
        text += f"; {percent(float(zero))} waited for no time at all, left of the axis"
    if found.objective_s is None:
        text += "; no objective is stated for it"
    elif charts.is_far(found):
        text += f"; objective {format_si(found.objective_s, 's')}, far right of the axis"
    return text


def _series(run: RunView, workload: str, measure: Measure, shades: pd.DataFrame | None) -> None:
    head(f"When: {measure.title} by arrival", "series")
    found = part(lambda: frames.series(run, workload, measure))
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "Choose another measure to see it over time.")
        return
    text = f"p50 and p99 of arrivals in {bin_text(found.bin_s)}, warm-up included"
    text += f", each within {percent(found.relative_error)}" if found.relative_error else ", exact"
    if found.objective_s is not None and lines.is_far(found):
        text += f"; objective {format_si(found.objective_s, 's')}, far above"
    chart(
        lines.latency_chart(found, Window(run.end_s, run.warm_up_s), ink(), shades, measure.title),
        "series",
        f"p50 and p99 of {measure.title} of {workload} over simulated time",
        text,
        found.frame.rename(columns={"p50": "p50_s", "p99": "p99_s", "n": "requests"}),
        f"{run.name}-{workload}-{measure.word}-over-time",
    )


def _split(run: RunView, workload: str, shades: pd.DataFrame | None) -> None:
    head("Why: what TTFT is made of", "split")
    found = part(lambda: ttft_split(run, workload))
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "Look at its rate, its duration and what was refused.")
        return
    chart(
        charts.split_chart(found, Window(run.end_s, run.warm_up_s), ink(), shades),
        "split",
        f"Mean parts of the TTFT of {workload} over simulated time",
        _split_caption(found),
        found.frame.rename(columns={name: f"{name}_s" for name in found.parts}),
        f"{run.name}-{workload}-ttft-parts",
    )


def _split_caption(found: Split) -> str:
    return (
        f"means {found.basis}, by arrival in {bin_text(found.bin_s)}; prefill begins with the "
        "first admission, recomputation included"
    )


def _misses(run: RunView, workload: str, missed: Misses | Missing, cause: str) -> None:
    head("Why: misses by cause", "misses")
    if isinstance(missed, Missing):
        absent(f"{missed.reason}.", "Look at its rate and its duration.")
        return
    if not missed.n:
        stated = frames.objectives_of(run, workload)
        cure = "" if stated else f"State objectives under 'slo:' of workload {workload}."
        absent(f"None of {missed.arrivals:,} requests missed.", cure)
        return
    chart(
        charts.misses_chart(missed, cause, ink()),
        "misses",
        f"Requests of {workload} that missed, by cause",
        f"share of {missed.arrivals:,} arrivals of the measurement window; the cause is the "
        "objective missed first, or how it ended; click a bar to list only its requests",
        missed.frame[["cause", "outcome", "n", "share"]],
        f"{run.name}-{workload}-misses",
        selection="cause",
    )


def _worst(
    run: RunView,
    workload: str,
    measure: Measure,
    every: pd.DataFrame | Missing,
    options: list[str],
) -> None:
    head("Worst requests", "worst")
    if isinstance(every, Missing):
        absent(f"{every.reason}.", "Run the scenario again.")
        return
    if len(options) == 1:
        absent(
            "No request missed, so none is listed: the run keeps the 50 slowest misses of each "
            "workload and quarter of an hour."
        )
        return
    boxes = st.columns([2, 2, 3], gap="small", vertical_alignment="bottom")
    cause = box(boxes[0], "Cause", options, "cause")
    listed: pd.DataFrame | Missing = every
    if cause != _EVERY:
        listed = part(lambda: worst(run, workload, measure.word, cause))
    if isinstance(listed, Missing):
        absent(f"{listed.reason}.", "Run the scenario again.")
        return
    _list(run, workload, measure, listed.head(SHOWN), boxes[1])


def _list(run: RunView, workload: str, measure: Measure, listed: pd.DataFrame, place: Any) -> None:
    if listed.empty:
        absent(
            "None of this cause is among the 50 slowest misses of each quarter of an hour, which "
            "is what the run keeps."
        )
        return
    rows = _rows(run, listed)
    # A key of its own for each list, so that no row stays chosen in another.
    number = run.workloads.index(workload)
    key = f"worst-table-{number}-{st.session_state.get('cause', _EVERY)}-{measure.word}"
    there = key in st.session_state
    event = table(rows, key, height=min(330, 40 + 30 * len(rows)), selectable=True)
    rows_picked = event["selection"]["rows"] if event else []
    numbers = {
        str(number): int(i)
        for number, i in zip(listed["number"], listed["request_id"], strict=True)
    }
    at = rows_picked[0] if rows_picked and rows_picked[0] < len(listed) else None
    name = None if at is None else str(listed["number"][at])
    # A table that is put anew, as for another measure, has taken nothing back.
    picked("request", key, name, _NONE if there else None)
    foot(
        f"the slowest misses of {workload}, at most 50 each quarter of an hour, warm-up included; "
        f"of one way not to complete, the first {SHOWN}; longest {_ORDER[measure.word]} first; "
        "choose a row to see what it waited for",
        "worst", f"{run.name}-{workload}-worst", rows,
    )  # fmt: skip
    chosen = choose_one(place, "Request", [_NONE, *numbers], "request", _NONE)
    if chosen != _NONE:
        _story(run, workload, chosen, numbers[chosen])


def _rows(run: RunView, listed: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "request": listed["number"],
            "arrived": [moment_words(round(t, 1), run.end_s) for t in listed["arrival_s"]],
            "why it missed": listed["cause"],
            "TTFT (s)": listed["ttft_s"].round(4),
            "TPOT (s)": listed["tpot_s"].round(5),
            "end-to-end (s)": listed["e2e_s"].round(3),
            "prompt (tokens)": listed["input_tokens"],
            "output (tokens)": listed["output_tokens"],
            "replica": listed["replica"],
            "attempts": listed["attempts"],
        }
    )
    return rows.dropna(axis="columns", how="all")


def _story(run: RunView, workload: str, number: str, request_id: int) -> None:
    head(f"Request {number} of {workload}", "story")
    if not run.rows("requests"):
        absent(
            "This run recorded no rows of requests ('record: summary'), so what it waited for is "
            "not known.", "Run it again with --set record=full, or record=sampled."
        )  # fmt: skip
        return
    found = part(lambda: story(run, request_id))
    if isinstance(found, Missing):
        cure = "Run it again with --set record=full." if run.record == "sampled" else ""
        absent(f"{found.reason}.", cure)
        return
    st.text(_story_words(run, found))
    if found.parts["seconds"].sum() > 0.0:
        frame = found.parts.copy()
        chart(
            charts.story_chart(frame), "story", f"What request {number} waited for",
            parts_words(frame), frame, f"{run.name}-request-{number}",
        )  # fmt: skip
    if len(found.attempts):
        head("Attempts that got no answer", "attempts")
        table(found.attempts, "attempts-table")
    if len(found.transfers):
        head("Transfers of its KV", "transfers")
        table(_transfers(found), "transfers-table")


def _story_words(run: RunView, found: Story) -> str:
    row = found.row
    text = f"Sent at {span(float(row['arrival_s']))}, {row['outcome']}"
    if not pd.isna(row["end_s"]):
        text += f" at {span(float(row['end_s']))}"
    text += f"; {int(row['input_tokens']):,} tokens in"
    if row["prefix_hit_tokens"]:
        text += f" ({int(row['prefix_hit_tokens']):,} of them found in the prefix cache)"
    text += f", {int(row['delivered_tokens']):,} of {int(row['output_tokens']):,} delivered"
    if not pd.isna(row["replica"]):
        text += f"; replica {int(row['replica'])} of pool {row['pool']}"
    text += f"; sent {int(row['attempts'])} time{'s' if row['attempts'] > 1 else ''}"
    if row["preemptions"]:
        text += f", preempted {int(row['preemptions'])} times"
    return f"{text}."


def _transfers(found: Story) -> list[dict[str, Any]]:
    rows = []
    for row in found.transfers.to_dict("records"):
        took = row["end_s"] - row["start_s"]
        rows.append(
            {
                "from replica": row["source"],
                "to replica": row["target"],
                "size": format_si(float(row["size_bytes"]), "B"),
                "took": "–" if pd.isna(took) else format_si(float(took), "s"),
                "alone": "–" if pd.isna(row["alone_s"]) else format_si(float(row["alone_s"]), "s"),
                "held back by": row["bound"] or "–",
                "for": "–" if pd.isna(row["bound_s"]) else format_si(float(row["bound_s"]), "s"),
                "flows waiting there": row["shared"],
                "outcome": row["outcome"],
            }
        )
    return rows


latency()
