"""When and where power limited a run, in the few words of a page."""

from __future__ import annotations

import pandas as pd

from dashboard.charts.power import state_of
from dashboard.clock import told
from dashboard.frames.control import clocks, controllers
from dashboard.frames.events import bands
from dashboard.frames.power import over
from dashboard.frames.tree import peaks, tree
from dashboard.load import Missing, RunView, part
from dashboard.verdicts import Block
from sim.results.wording import percent, span
from sim.units import format_si

_SHOWN = 3
#: States (``frames.events``) in which an entity carries nothing.
_OUT = ("failed", "tripped", "dropped its load", "battery empty")


def limits(run: RunView) -> Block:
    """Which node was over its limit, how much, when and for how long; else which was nearest."""
    found = part(lambda: over(run))
    if isinstance(found, Missing):
        return Block("none", "What was over its limit is not known", found.reason)
    if not found:
        return _nearest(run)
    worst = found[0]
    text = (
        f"{format_si(worst.peak_w, 'W')} of {format_si(worst.limit_w, 'W')}; above it for "
        f"{span(worst.seconds)} in {_times(worst.times)} from {_at(run, worst.first_s)} to "
        f"{_at(run, worst.last_s)}, the longest {span(worst.longest_s)} at "
        f"{_at(run, worst.longest_at_s)}"
    )
    others = [f"{one.name} ({percent(one.peak_w / one.limit_w)}, {span(one.seconds)})"
              for one in found[1 : 1 + _SHOWN]]  # fmt: skip
    if others:
        text += f". Also over: {', '.join(others)}"
        more = len(found) - 1 - len(others)
        text += f" and {more:,} more" if more else ""
    share = worst.peak_w / worst.limit_w - 1.0
    return Block("bad", f"{worst.name} was over its limit by {percent(share)}", text)


def _nearest(run: RunView) -> Block:
    near = part(lambda: peaks(run))
    if isinstance(near, Missing):
        return Block("none", "What was near its limit is not known", near.reason)
    names = tree(run).set_index("node")["name"]
    near = near.dropna(subset="share").sort_values(["share", "node"], ascending=[False, True])
    if near.empty:
        return Block("none", "No power node has a limit", "no budget and no rating is stated")
    first = near.iloc[0]
    said = [
        f"{names[row['node']]} {format_si(row['max_w'], 'W')} of {format_si(row['limit_w'], 'W')} "
        f"at {_at(run, row['t_s'])}"
        for row in near.head(2).to_dict("records")
    ]
    state = state_of(float(first["share"]))
    if state == "bad":
        # A limit may have changed within a bin; the table of what was over it is exact.
        state = "near"
    title = f"Never over a limit; nearest: {names[first['node']]}, {percent(first['share'])}"
    detail = said[0] + (f"; then {said[1]}" if len(said) > 1 else "")
    if not run.power_stated:
        detail += "; the scenario states no power: these are ratings of racks"
    return Block(state, title, detail)


def outages(run: RunView) -> Block:
    """What failed, tripped or ran on its battery, and when."""
    found = part(lambda: bands(run))
    if isinstance(found, Missing):
        return Block("none", "Outages are not known", found.reason)
    found = found[found["state"] != "braked"]
    if found.empty:
        return Block("good", "No outage", "nothing failed, tripped or ran on its battery")
    out = found["state"].isin(_OUT)
    rows = pd.concat([found[out], found[~out]]).to_dict("records")
    said = [f"{row['label']} {_at(run, row['start_s'])} to {_at(run, row['end_s'])}"
            for row in rows[:_SHOWN]]  # fmt: skip
    more = len(rows) - len(said)
    failed = found[out]
    title = (
        f"{failed['entity'].nunique():,} of the power path out"
        if len(failed)
        else "The power path was disturbed"
    )
    names = list(dict.fromkeys(failed["entity"]))
    if 0 < len(names) <= 2:
        lasted = [span(_covered(failed[failed["entity"] == name])) for name in names]
        title = f"{names[0]} out for {lasted[0]}"
        title += "".join(f", {name} for {how_long}"
                         for name, how_long in zip(names[1:], lasted[1:], strict=True))  # fmt: skip
    return Block("bad" if len(failed) else "near", title,
                 "; ".join(said) + (f"; {more:,} more" if more else ""))  # fmt: skip


def _covered(found: pd.DataFrame) -> float:
    """Seconds in which at least one of the states lasted."""
    total, until = 0.0, -1.0
    for start, end in sorted(zip(found["start_s"], found["end_s"], strict=True)):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def control(run: RunView) -> Block:
    """What power control did to clocks and admission."""
    watching, held = part(lambda: controllers(run)), part(lambda: clocks(run))
    if isinstance(watching, Missing) or isinstance(held, Missing):
        reasons = [one.reason for one in (watching, held) if isinstance(one, Missing)]
        return Block("none", "What controllers did is not known", reasons[0])
    if watching.empty:
        return Block("none", "No power control", "no power policy watched a node")
    commands = int(watching[["commands", "cap_commands", "admission_commands"]].to_numpy().sum())
    brakes = int(watching["brakes"].sum())
    names = ", ".join(watching["name"].head(_SHOWN))
    if not commands and not brakes:
        return Block("good", "Power control had nothing to do", f"it watched {names}")
    slowed = held[held["capped"] > 0.0].sort_values("capped", ascending=False)
    said = [f"{row['pool']} below its highest clock {percent(row['capped'])} of the time"
            for row in slowed.head(_SHOWN).to_dict("records")]  # fmt: skip
    if brakes:
        said.insert(0, f"the brake was on for {span(float(watching['brake_s'].sum()))}")
    done = [f"{count:,} {word if count == 1 else f'{word}s'}"
            for count, word in ((commands, "command"), (brakes, "brake")) if count]  # fmt: skip
    title = f"Power control acted: {', '.join(done)}"
    return Block("near", title, f"{names}: " + ("; ".join(said) or "no clock was kept down"))


def _times(count: int) -> str:
    return "one stretch" if count == 1 else f"{count:,} stretches"


def _at(run: RunView, t_s: float) -> str:
    return told(run, round(t_s, 1))
