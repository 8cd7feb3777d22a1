"""Floor: what is hot, idle, stranded?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts.axes import Window, moment_words
from dashboard.charts.floor import CLICKED, plan_chart
from dashboard.charts.power import NEAR_SHARE, state_of
from dashboard.charts.tiles import CAPTIONS, WHOLE, choices, tiles
from dashboard.charts.timeline import node_chart
from dashboard.choices import box, choose_one, clicked, offer
from dashboard.clock import KEY, go_to, moment, named_moments, told
from dashboard.frames.bins import bin_width_s
from dashboard.frames.events import bands
from dashboard.frames.floor import IDLE, held, hottest, rack_draws, replicas_of, servers_of
from dashboard.frames.site import racks
from dashboard.frames.tree import first_moment, series
from dashboard.load import Missing, RunView, part
from dashboard.parts import absent, bin_text, chart, foot, head, notice, table
from dashboard.shell import chosen_run
from dashboard.style import MARKS, ink
from sim.results.wording import percent
from sim.units import format_si

_PLAYING = "floor-playing"
#: Seconds of a step while the slider plays.
_STEP_S = 0.7
_FEW_LINES = 4


def floor() -> None:
    """Draw the page."""
    run = chosen_run("Floor", "What is hot, idle, stranded?")
    if run is None:
        return
    plan = part(lambda: racks(run))
    if isinstance(plan, Missing):
        notice("bad", "The floor cannot be shown", plan.reason, key="floor")
        return
    _answer(run)
    playing = st.session_state.get(_PLAYING, False)
    st.fragment(_plan, run_every=_STEP_S if playing else None)(run, plan)


def _answer(run: RunView) -> None:
    blocks = (_hot(run), *_unused(run))
    for place, (column, block) in enumerate(zip(st.columns(3, gap="small"), blocks, strict=True)):
        state, title, detail = block
        with column:
            notice(state, f"{MARKS[state]} {title}", detail, key=f"answer-{place}")


def _hot(run: RunView) -> tuple[str, str, str]:
    found = part(lambda: hottest(run))
    if isinstance(found, Missing):
        return "none", "What is hot is not known", found.reason
    if found is None:
        return "none", "What is hot is not known", "no rack was metered against a limit"
    draws = rack_draws(run).groupby("rack")["max_w"].max()
    floor_of = racks(run).set_index("rack")
    share = draws / floor_of["limit_w"].reindex(draws.index)
    near = int((share >= NEAR_SHARE).sum())
    when = told(run, found.t_s)
    return (
        state_of(found.share),
        f"Hottest: {found.rack}, {percent(found.share)} of its limit",
        f"{format_si(found.peak_w, 'W')} of {format_si(found.limit_w, 'W')} at {when}; "
        f"{near:,} of {len(floor_of):,} racks came to {percent(NEAR_SHARE)} of theirs",
    )


def _unused(run: RunView) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """What is idle, what is stranded."""
    has = part(lambda: held(run))
    if isinstance(has, Missing):
        return ("none", "What is idle is not known", has.reason), (
            "none", "What is stranded is not known", has.reason)  # fmt: skip
    gpus, free = int(has["gpus"].sum()), int((has["gpus"] - has["taken"]).sum())
    if has["idle"].isna().all():
        idle = ("none", "What is idle is not known", "the run ended before its measured window")
    else:
        whole = float((has["idle"] * has["gpus"]).sum() / gpus)
        count, worst = int((has["idle"] >= IDLE).sum()), has.loc[has["idle"].idxmax()]
        title = f"{count:,} of {len(has):,} racks idle" if count else "No rack idle"
        idle = (
            "near" if count else "good",
            title,
            f"{percent(whole)} of all GPU time was outside iterations; the idlest, "
            f"{worst['rack']}, {percent(worst['idle'])} (idle: from {percent(IDLE)} on)",
        )
    if not free:
        return idle, ("good", "No GPU stranded", f"all {gpus:,} GPUs have a replica")
    power = float(has["stranded_w"].sum())
    behind = f"{format_si(power, 'W')} of rack limits stand behind them, in " if power else "in "
    return idle, (
        "near",
        f"{free:,} of {gpus:,} GPUs stranded",
        f"no replica has them at the end of the run; {behind}"
        f"{int((has['taken'] < has['gpus']).sum()):,} of {len(has):,} racks",
    )


def _plan(run: RunView, plan: pd.DataFrame) -> None:
    _advance(run)
    hot = part(lambda: hottest(run))
    names = list(plan["rack"])
    first = names[0] if isinstance(hot, Missing) or hot is None else hot.rack
    clicked("rack", "plan-chart", CLICKED, "rack")
    chosen = offer("rack", names, first)
    # Below the plan of a small floor is room for the nodes of the rack.
    few = plan["line"].nunique() <= _FEW_LINES
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show, at_s = _controls(run)
        _tiles(run, show, at_s, chosen)
        if few:
            _servers(run, chosen, at_s)
    with right:
        box(st, "Rack", names, "rack", "or click its tile")
        _rack(run, chosen, at_s)
        if not few:
            _servers(run, chosen, at_s)
        _replicas(run, chosen)


def _advance(run: RunView) -> None:
    """One step of the slider while it plays; it stops at the end."""
    if not st.session_state.get(_PLAYING):
        return
    words = list(named_moments(run))
    at = st.session_state.get(KEY)
    # Played from its end, it begins again.
    place = words.index(at) + 1 if at in words[:-1] else 0
    st.session_state[KEY] = words[min(place, len(words) - 1)]
    if place >= len(words) - 1:
        st.session_state[_PLAYING] = False
        st.rerun()


def _controls(run: RunView) -> tuple[str, float]:
    """What is shown, and when."""
    what, when, play, jump = st.columns(
        [1.1, 2.2, 0.55, 0.75], gap="small", vertical_alignment="bottom"
    )
    shown = choices(run)
    show = choose_one(
        what, "Tiles show", shown, "show", shown[0],
        "the colours keep their meaning at every moment and in every run",
    )  # fmt: skip
    first = part(lambda: first_moment(run))
    with when:
        playing = st.session_state.get(_PLAYING, False)
        at_s = moment(run, 0.0 if isinstance(first, Missing) else first, in_url=not playing)
    with play:
        if st.button("Stop" if playing else "Play", key="play", help="step through the run"):
            st.session_state[_PLAYING] = not playing
            st.rerun()
    hot = part(lambda: hottest(run))
    with jump:
        st.button(
            "Hottest", key="hottest", disabled=isinstance(hot, Missing) or hot is None,
            on_click=lambda: None if isinstance(hot, Missing) or hot is None
            else go_to(run, hot.t_s),
            help="go to the moment at which a rack came nearest to its limit",
        )  # fmt: skip
    return show, at_s


def _tiles(run: RunView, show: str, at_s: float, chosen: str) -> None:
    made = part(lambda: tiles(run, show, at_s))
    if isinstance(made, Missing):
        absent(f"{made.reason}.", "Run the scenario again.")
        return
    when = (
        "of the whole run"
        if show in WHOLE
        else f"at {moment_words(at_s, run.end_s)}, {bin_text(bin_width_s(run))}"
    )
    chart(
        plan_chart(made, chosen, ink()),
        "plan",
        f"Plan of the floor: {show} of each rack, {when}",
        f"{when}; {CAPTIONS[show]}",
        made.frame.drop(columns=["column", "line"]),
        f"{run.name}-floor",
        selection=CLICKED,
    )


def _rack(run: RunView, rack: str, at_s: float) -> None:
    drawn = part(lambda: series(run, rack))
    if isinstance(drawn, Missing):
        absent(f"{drawn.reason}.")
    else:
        found = part(lambda: bands(run))
        chart(
            node_chart(
                drawn, Window(run.end_s, run.warm_up_s), ink(), at_s,
                None if isinstance(found, Missing) else found, height=190,
            ),
            "rack",
            f"Draw of {rack} over simulated time, with its limit",
            f"{rack}: mean and peak in {bin_text(drawn.bin_s)}; dashes: the moment of the tiles",
            drawn.frame,
            f"{run.name}-{rack}",
        )  # fmt: skip


def _servers(run: RunView, rack: str, at_s: float) -> None:
    head(f"Nodes of {rack}, {moment_words(at_s, run.end_s)}", key="servers")
    found = part(lambda: servers_of(run, rack, at_s))
    if isinstance(found, Missing):
        absent(f"{found.reason}.")
        return
    shown = pd.DataFrame(
        {
            "node": [str(name).removeprefix(f"{rack}-") for name in found["name"]],
            "mean draw": [_watts(value) for value in found["mean_w"]],
            "peak draw": [_watts(value) for value in found["max_w"]],
            "rating": [_watts(value) for value in found["limit_w"]],
        }
    )
    table(shown, "servers-table", height=min(180, 38 + 30 * max(1, len(shown))))


def _replicas(run: RunView, rack: str) -> None:
    head(f"Replicas of {rack}", key="replicas")
    found = part(lambda: replicas_of(run, rack))
    if isinstance(found, Missing):
        absent(f"{found.reason}.")
        return
    if found.empty:
        absent("No replica has a GPU in this rack at the end of the run.")
        return
    shown = pd.DataFrame(
        {
            "replica": found["replica"],
            "pool": found["pool"],
            "tenant": found["tenant"],
            "GPUs here": found["gpus"],
            "busy": ["–" if busy != busy else percent(busy) for busy in found["busy"]],
            "output tokens": [f"{tokens:,}" for tokens in found["decode_tokens"]],
        }
    )
    if (found["tenant"] == found["pool"]).all():
        shown = shown.drop(columns="tenant")
    table(shown, "replicas-table", height=min(200, 38 + 30 * len(shown)))
    foot("busy: share of the measured window in iterations; output tokens: of the whole run",
         "replicas-foot", f"{run.name}-{rack}-replicas", found)  # fmt: skip


def _watts(value: float) -> str:
    return "–" if value != value else format_si(value, "W")


floor()
