"""Fabric: which links bind?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import fabric as charts
from dashboard.charts.axes import Window
from dashboard.charts.fabric import SHOWN
from dashboard.choices import choose_one, clicked, picked, switched
from dashboard.frames import fabric as frames
from dashboard.frames.events import bands
from dashboard.frames.fabric import HeatMap, Held
from dashboard.load import Missing, RunView, part
from dashboard.parts import absent, bin_text, chart, foot, head, notice, table
from dashboard.shell import chosen_run
from dashboard.style import ink
from sim.results.measure_links import no_traffic
from sim.results.wording import percent, span
from sim.units import format_si

#: A minimum that lets two charts stand side by side from a 1,280-pixel window on.
_CHART_PX = 460
_WHOLE = "the whole tier"
_TIER_TABLE = "links-table-tier"
_LIMITS = ("network", "partition", "weights")
_KINDS = {"kv": "KV", "weights": "weights", "migration": "KV of migrations"}


def fabric() -> None:
    """Draw the page."""
    run = chosen_run("Fabric", "Which links bind?")
    if run is None:
        return
    reason = no_traffic(run.result)
    if reason is not None and not run.rows("link_tiers"):
        _without(run, reason)
        return
    found = part(lambda: frames.tiers(run))
    if isinstance(found, Missing):
        notice("bad", "The links of this run cannot be shown", found.reason)
        return
    _body(run, found, reason)


def _without(run: RunView, reason: str) -> None:
    """Say why no link was measured, and how to get it."""
    if run.manifest["resolved"].get("fabric") is None:
        cure = (
            "Add a network to the scenario, such as 'fabric: {kind: rail-optimised, nic: 400 Gb/s}'"
            " (kinds: docs/fabric.md), and run it again."
        )
    else:
        cure = (
            "Links are measured where KV moves between pools (pools[].decode), weights are loaded "
            "(pools[].weights), a replica spans servers or neighbours send (neighbours)."
        )
    notice("none", "No link was measured", f"{reason[0].upper()}{reason[1:]}.\n{cure}")


@st.fragment
def _body(run: RunView, tiers: pd.DataFrame, reason: str | None) -> None:
    _sentences(run, tiers)
    names = [str(name) for name in tiers["tier"]]
    boxes = st.columns([2, 2, 3], gap="small", vertical_alignment="bottom")
    first = names[frames.first_tier(tiers)]
    tier = choose_one(boxes[0], "Tier", names, "tier", first)
    shown = choose_one(boxes[1], "Show", list(SHOWN), "links", next(iter(SHOWN)))
    links = part(lambda: frames.links_of(run, tier))
    pairs = _pairs(links)
    chosen = choose_one(boxes[2], "Pair of ends", pairs, "pair", _WHOLE)
    pair = None if chosen == _WHOLE else chosen
    with st.grid(2, min_column_width=_CHART_PX, key="pictures"):
        with st.container(key="heat"):
            _heat(run, tier, shown, links, reason, pair)
        with st.container(key="use"):
            _over_time(run, tiers, tier, links, pair)
            _transfers(run)
    _links(run, tier, links, pair)
    _tiers(run, tiers, tier)


def _sentences(run: RunView, tiers: pd.DataFrame) -> None:
    """The answer: what was full for how long, and what that held up."""
    judged = part(lambda: run.verdict.limits)
    limits = () if isinstance(judged, Missing) else judged
    binds = next((limit for limit in limits if limit.binds and limit.kind in _LIMITS), None)
    first = tiers.iloc[frames.first_tier(tiers)]
    seconds = float(first["saturated_s"] or 0.0)
    window = max(run.measured_s, 1e-9)
    full = seconds > frames.TOUCHED * window
    if full:
        title = (
            f"{first['tier']} was full: {int(first['saturated_links']):,} of "
            f"{int(first['links']):,} links at some time, one for {span(seconds)} of "
            f"{span(window)} ({percent(seconds / window)})"
        )
    else:
        peak = float(first["max_use"] or 0.0)
        title = (
            f"No link was full; {first['tier']} came nearest, at {percent(peak)} of its capacity"
        )
    others = [
        f"{row['tier']} ({int(row['saturated_links']):,} links, {span(float(row['saturated_s']))})"
        for row in tiers.to_dict("records")
        if row["tier"] != first["tier"] and (row["saturated_s"] or 0.0) > frames.TOUCHED * window
    ]
    held = part(lambda: frames.held_up(run))
    said = [] if isinstance(held, Missing) else [_held_words(one) for one in held]
    if binds is not None:
        said.insert(0, f"Binding: {binds.sentence}.")
    elif full and limits:
        said.insert(0, "The network is no workload's binding limit.")
    if others:
        said.append(f"Also full: {', '.join(others)}.")
    state = "bad" if binds is not None else "near" if full else "good"
    with st.container(key=f"{state}-block-answer"):
        with st.container(key="title-answer"):
            st.text(title)
        st.text(" ".join(said))


def _held_words(held: Held) -> str:
    what = _KINDS.get(held.kind, held.kind)
    text = (
        f"In the whole run {held.n:,} transfers of {what} took {format_si(held.took_s, 's')} in "
        f"the mean, {format_si(held.alone_s, 's')} on an empty network"
    )
    if held.bound:
        text += f"; {held.bound} set the rate of {held.bound_n:,} of them for longest"
    return f"{text}."


def _heat(
    run: RunView,
    tier: str,
    shown: str,
    links: pd.DataFrame | Missing,
    reason: str | None,
    pair: str | None,
) -> None:
    head(f"{tier}, over the measurement window", "heat")
    if isinstance(links, Missing):
        absent(f"{links.reason}.", "Run the scenario again.")
        return
    if links.empty:
        why = f"{reason[0].upper()}{reason[1:]}." if reason else "No link of this tier was used."
        absent(why, "" if reason else "Choose another tier.")
        return
    found = frames.heat_map(run, tier, links)
    chart(
        charts.heat_chart(found, shown, pair or "", ink()),
        "heat-map",
        f"{shown[0].upper()}{shown[1:]} of the links {tier}, by their two ends",
        _heat_caption(found, shown),
        found.cells.rename(columns={"full": "share_of_time_full", "held": "held_flows"}),
        f"{run.name}-links",
        selection="pair",
    )


def _heat_caption(found: HeatMap, shown: str) -> str:
    several = (found.cells["links"] > 1).any()
    text = {
        "mean use": "bytes over what it could carry while up",
        "peak use": "highest share of its capacity at any time",
        "time full": "share of the window in which nothing of it was free",
    }[shown]
    if several:
        text += ", of several links " + ("the mean" if shown == "mean use" else "the highest")
    return (
        f"{text}; hot tiles in a row share their {found.row_title.rpartition(' ')[2]}, in a column "
        f"their {found.column_title.rpartition(' ')[2]}; no tile: no link, or it carried nothing; "
        "click one to see it over time"
    )


def _pairs(links: pd.DataFrame | Missing) -> list[str]:
    """The pairs to choose from; a click in the heat map or the table below has chosen one."""
    if isinstance(links, Missing):
        return [_WHOLE]
    pairs = [_WHOLE, *frames.natural(set(links["pair"]))]
    clicked("pair", "heat-map-chart", "pair", "pair", _WHOLE)
    state = st.session_state.get(_TIER_TABLE)
    rows = [row for row in (state["selection"]["rows"] if state else []) if row < len(links)]
    # The table is gone once a pair is chosen, which takes nothing back.
    picked("pair", _TIER_TABLE, str(links["pair"].iloc[rows[0]]) if rows else None)
    return pairs


def _bands(run: RunView) -> pd.DataFrame | None:
    found = part(lambda: bands(run))
    return None if isinstance(found, Missing) else found


def _over_time(
    run: RunView,
    tiers: pd.DataFrame,
    tier: str,
    links: pd.DataFrame | Missing,
    pair: str | None,
) -> None:
    head(f"{pair or tier} over time", "use")
    if isinstance(links, Missing) or links.empty:
        absent("Nothing to draw: see the left.")
        return
    mine = links if pair is None else links[links["pair"] == pair]
    of = len(mine) if pair else int(tiers.loc[tiers["tier"] == tier, "links"].iloc[0])
    found = part(lambda: frames.over_time(run, mine["link"], of))
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "Run the scenario again.")
        return
    frame, width = found
    what = f"mean of {of:,} link{'s' if of > 1 else ''}"
    if pair is None:
        what += ", idle ones included"
    chart(
        charts.use_chart(
            frame, width, Window(run.end_s, run.warm_up_s), ink(), _bands(run), several=of > 1
        ),
        "over-time",
        f"Use of {pair or tier} over simulated time",
        f"{what}, peak of the busiest one"
        + ("; full: share of links and time with nothing free" if frame["full"].any() else "")
        + f"; in {bin_text(width)}, exact, down counts as 0",
        frame.rename(columns={"mean": "mean_use", "max": "max_use", "full": "share_full"}),
        f"{run.name}-link-use",
    )


def _transfers(run: RunView) -> None:
    """Only where use over time was not recorded: what moved instead."""
    if run.rows("summary/links"):
        return
    head("Transfers under way", "moved")
    found = part(lambda: frames.under_way(run))
    if isinstance(found, Missing):
        absent(f"{found.reason}.", "With 'record: summary' only transfers of weights are kept.")
        return
    frame, width = found
    chart(
        charts.moved_chart(frame, width, Window(run.end_s, run.warm_up_s), ink(), _bands(run)),
        "moved-chart",
        "Transfers under way over simulated time",
        f"mean number in {bin_text(width)}, of those recorded; neighbours and messages between "
        "servers of one replica are not among them",
        frame,
        f"{run.name}-transfers",
    )


def _links(run: RunView, tier: str, links: pd.DataFrame | Missing, pair: str | None) -> None:
    head(f"Links of {pair or tier}, full longest first", "links")
    if isinstance(links, Missing):
        absent(f"{links.reason}.", "Run the scenario again.")
        return
    mine = links if pair is None else links[links["pair"] == pair]
    if mine.empty:
        absent("None of them was used.")
        return
    rows = _link_rows(run, mine.head(frames.MOST_LINKS))
    table(
        rows, _TIER_TABLE if pair is None else "links-table", _bars("peak", "mean", "p99"),
        height=min(330, 40 + 30 * len(rows)), selectable=pair is None,
    )  # fmt: skip
    more = len(mine) - len(rows)
    foot(
        f"over {span(run.measured_s)} after the warm-up; held: flows that ended and whose rate "
        "this link set for longer than any other; p99: share not exceeded for 99 % of the time, to "
        "0.5 %"
        + ("; choose a row to see its pair of ends" if pair is None else "")
        + (f"; {more:,} more are not listed" if more > 0 else ""),
        "links", f"{run.name}-top-links", rows,
    )  # fmt: skip


def _bars(*names: str) -> dict[str, Any]:
    """Columns of shares in per cent, each drawn as a bar."""
    return {
        name: st.column_config.ProgressColumn(
            name, min_value=0.0, max_value=100.0, format="%.1f %%"
        )
        for name in names
    }


def _link_rows(run: RunView, links: pd.DataFrame) -> pd.DataFrame:
    window = max(run.measured_s, 1e-9)
    return pd.DataFrame(
        {
            "link": links["name"],
            "capacity": [charts.rate(value) for value in links["capacity_bytes_per_s"]],
            "peak": 100.0 * links["max_use"],
            "mean": 100.0 * links["mean_use"],
            "p99": 100.0 * links["p99_use"],
            "full": [
                f"{span(value)} ({percent(value / window)})" if value else "–"
                for value in links["saturated_s"]
            ],
            "down": [span(value) if value else "–" for value in links["down_s"]],
            "flows": links["flows"],
            "held": links["held_flows"],
            "waiting at once": links["most_waiting"],
        }
    )


def _tiers(run: RunView, tiers: pd.DataFrame, chosen: str) -> None:
    head("Tiers", "tiers")
    drawn = switched(st, "Draw how the tiers are joined", "picture")
    if drawn:
        st.graphviz_chart(charts.tiers_graph(tiers, chosen, ink()), width="stretch")
    window = max(run.measured_s, 1e-9)
    rows = pd.DataFrame(
        {
            "tier": tiers["tier"].astype(str),
            "links": tiers["links"],
            "used": tiers["used_links"],
            "capacity": [charts.rate(value) for value in tiers["capacity_bytes_per_s"]],
            "carried": [format_si(float(value), "B") for value in tiers["bytes"]],
            "peak": 100.0 * tiers["max_use"],
            "mean": 100.0 * tiers["mean_use"],
            "full at some time": tiers["saturated_links"],
            "longest full": [
                f"{span(value)} ({percent(value / window)})" if value else "–"
                for value in tiers["saturated_s"]
            ],
            "down": tiers["down_links"],
            "held flows": tiers["held_flows"],
        }
    )
    wide = {"longest full": st.column_config.TextColumn(width=140)}  # else cut by the bars
    table(rows, "tiers-table", {**_bars("peak", "mean"), **wide})
    foot(
        "all directed links between two kinds, idle ones included"
        + (
            "; red: full at some time; dashed: unused; thick: the tier shown above" if drawn else ""
        ),
        "tiers", f"{run.name}-tiers", tiers,
    )  # fmt: skip


fabric()
