"""Power: when and where were we limited?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import limits_said
from dashboard.charts.axes import Window, moment_words
from dashboard.charts.power import CLICKED, diagram, ladder_chart
from dashboard.charts.timeline import drawn_limits, drawn_rating, lane_chart, node_chart
from dashboard.choices import box, choose_one, clicked, offer
from dashboard.clock import go_to, moment
from dashboard.frames.bins import bin_width_s
from dashboard.frames.control import actions, clocks, controllers, lanes
from dashboard.frames.events import bands
from dashboard.frames.power import Ladder, flows, ladder, notes, standby
from dashboard.frames.tree import Series, at_moment, first_moment, peaks, series, tree
from dashboard.load import Missing, RunView, part
from dashboard.parts import absent, bin_text, chart, foot, head, notice, table
from dashboard.shell import chosen_run
from dashboard.style import MARKS, ink
from sim.results.wording import percent, span
from sim.units import format_si

#: Trees up to this many nodes, servers apart, can be drawn as a single-line diagram.
_DIAGRAM = 40
_NOW, _PEAK = "Draw at the moment", "Each node's own peak"
_DIAGRAM_SHOWN = "Single-line diagram"


def power() -> None:
    """Draw the page."""
    run = chosen_run("Power", "When and where were we limited?")
    if run is None:
        return
    nodes = part(lambda: tree(run))
    if isinstance(nodes, Missing):
        notice("bad", "The electrical tree cannot be shown", nodes.reason, key="tree")
        return
    blocks = (limits_said.limits(run), limits_said.outages(run), limits_said.control(run))
    for place, (column, block) in enumerate(zip(st.columns(3, gap="small"), blocks, strict=True)):
        with column:
            notice(block.state, block.title, block.detail, key=f"answer-{place}")
    _detail(run, nodes)
    _controllers(run)


@st.fragment
def _detail(run: RunView, nodes: pd.DataFrame) -> None:
    names = list(nodes["name"])
    clicked("node", "ladder-chart", CLICKED, "name")
    chosen = offer("node", names, _fullest(run, nodes))
    first = part(lambda: first_moment(run))
    worst_s = 0.0 if isinstance(first, Missing) else first
    what, which, when, jump = st.columns(
        [1.2, 1.2, 2.6, 0.6], gap="small", vertical_alignment="bottom"
    )
    with what:
        shown: tuple[str, ...] = (_NOW, _PEAK, _DIAGRAM_SHOWN)
        few = int((nodes["kind"] != "server").sum()) <= _DIAGRAM
        shown = shown if few else shown[:2]
        show = choose_one(
            st, "Nodes show", shown, "bars", shown[0],
            "the diagram is drawn of trees of up to 40 nodes, servers apart",
        )  # fmt: skip
    box(which, "Node", names, "node", "or click its bar")
    with when:
        at_s = moment(run, worst_s)
    with jump:
        st.button("Worst", key="worst", on_click=lambda: go_to(run, worst_s),
                  help="go to the moment at which a node came nearest to its limit")  # fmt: skip
    left, right = st.columns([1, 1.1], gap="medium")
    with left:
        if show == _DIAGRAM_SHOWN:
            _diagram(run, nodes, at_s, chosen)
        else:
            _ladder(run, None if show == _PEAK else at_s, chosen)
    with right:
        _time_line(run, chosen, at_s)


def _fullest(run: RunView, nodes: pd.DataFrame) -> str:
    """The node that came nearest to its limit; the first one where none has a limit."""
    found = part(lambda: peaks(run).dropna(subset="share"))
    if isinstance(found, Missing) or found.empty:
        return str(nodes["name"].iloc[0])
    node = int(found.loc[found["share"].idxmax(), "node"])
    return str(nodes.loc[nodes["node"] == node, "name"].iloc[0])


def _ladder(run: RunView, at_s: float | None, chosen: str) -> None:
    said = {} if at_s is None else _said(run, at_s)
    made = part(lambda: ladder(run, at_s, chosen, said))
    if isinstance(made, Missing):
        absent(f"{made.reason}.", "Run the scenario again.")
        return
    when = "at its own peak" if at_s is None else f"at {moment_words(at_s, run.end_s)}"
    chart(
        ladder_chart(made, chosen, ink()),
        "ladder",
        f"Draw of each power node against its limit, {when}",
        _ladder_caption(run, made, when),
        made.frame.drop(columns="feeds").assign(fed_by=[" ".join(f) for f in made.frame["feeds"]]),
        f"{run.name}-ladder",
        selection=CLICKED,
    )


def _said(run: RunView, at_s: float) -> dict[str, str]:
    """What nodes were at a moment; nothing where events are unreadable, which is said elsewhere."""
    found = part(lambda: notes(run, at_s))
    return {} if isinstance(found, Missing) else found


def _ladder_caption(run: RunView, made: Ladder, when: str) -> str:
    text = f"highest draw {when}, {bin_text(bin_width_s(run))}"
    text += "; rule: the limit (budget, else rating), near from 90 % on"
    if (made.frame["rating_w"] > 1.005 * made.frame["limit_w"]).any():
        text += "; grey tick: the rating"
    if any(len(feeds) > 1 for feeds in made.frame["feeds"]):
        text += "; what has several feeds stands below the first"
    kinds = [f"{n:,} more {word}" for n, word in zip(made.more, ("nodes", "racks"), strict=True)
             if n]  # fmt: skip
    if kinds:
        text += f"; {' and '.join(kinds)} peaked lower"
        if made.fullest is not None:
            text += f" or alike, at {percent(made.fullest)} at most"
    return text


def _diagram(run: RunView, nodes: pd.DataFrame, at_s: float, chosen: str) -> None:
    def drawn() -> tuple[str, pd.DataFrame]:
        now = nodes[["node", "name"]].merge(at_moment(run, at_s), on="node")
        said = _said(run, at_s)
        now["note"] = [said.get(name, "") for name in now["name"]]
        wires = flows(run, at_s)
        return diagram(now, wires, standby(run), chosen, ink()), wires

    made = part(drawn)
    if isinstance(made, Missing):
        absent(f"{made.reason}.", "Run the scenario again.")
        return
    text, wires = made
    st.graphviz_chart(text, width="stretch")
    names = nodes.set_index("node")["name"]
    foot(
        f"mean in the bin from {moment_words(at_s, run.end_s)}, servers left out; on a feed: what "
        "it carries, losses of what it feeds included",
        "diagram",
        f"{run.name}-feeds",
        wires.assign(parent=wires["parent"].map(names), child=wires["child"].map(names)),
    )


def _time_line(run: RunView, name: str, at_s: float) -> None:
    window = Window(run.end_s, run.warm_up_s)
    drawn, found = part(lambda: series(run, name)), part(lambda: bands(run))
    if isinstance(drawn, Missing):
        absent(f"{drawn.reason}.", "Run the scenario again.")
    else:
        chart(
            node_chart(
                drawn, window, ink(), at_s, None if isinstance(found, Missing) else found, 225
            ),
            "node",
            f"Draw of {name} over simulated time, with its budget and rating",
            _series_caption(drawn),
            drawn.frame,
            f"{run.name}-{name}",
        )
    events = part(lambda: lanes(run))
    if isinstance(events, Missing):
        absent(f"{events.reason}.")
    elif events.empty:
        absent("No event of the facility, of a breaker or of a controller in this run.")
    else:
        chart(
            lane_chart(events, window, ink(), at_s),
            "lane",
            "Events of the facility, breakers and controllers over simulated time",
            "events on the same axis; hover for what happened",
            events,
            f"{run.name}-events",
        )


def _series_caption(drawn: Series) -> str:
    text = f"{drawn.name}: mean and peak in {bin_text(drawn.bin_s)}; dashes: the moment"
    if not drawn.word:
        return text + "; no budget and no rating is stated for it"
    if drawn_limits(drawn).empty:
        last = float(drawn.limits["limit_w"].iloc[-1])
        text += f"; {drawn.word} {format_si(last, 'W')}, far above"
    if drawn.rating_w is not None and drawn_rating(drawn) is None:
        text += f"; rating {format_si(drawn.rating_w, 'W')}, far above"
    return text


def _controllers(run: RunView) -> None:
    head("What controllers did", key="controllers")
    watching, done = part(lambda: controllers(run)), part(lambda: actions(run))
    if isinstance(watching, Missing):
        absent(f"{watching.reason}.")
    elif watching.empty:
        absent(
            "No power policy watched a node in this run.",
            "State one under 'policies: power:', as in scenarios/power-control.yaml.",
        )
    left, right = st.columns([1, 1.4], gap="medium")
    with left:
        if not isinstance(watching, Missing) and not watching.empty:
            table(_controller_rows(watching), "controllers-table")
            foot("commands, brakes and lost readings in the measured window", "controllers",
                 f"{run.name}-controllers", watching)  # fmt: skip
        _clocks(run)
    with right:
        if isinstance(done, Missing):
            absent(f"{done.reason}.")
        elif len(done):
            table(_action_rows(run, done), "actions-table", height=min(320, 38 + 30 * len(done)))
            foot("decisions of power policies and what they led to, the first 1,000", "actions",
                 f"{run.name}-actions", done)  # fmt: skip


def _controller_rows(watching: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "node": watching["name"],
            "clock commands": watching["commands"],
            "cap commands": watching["cap_commands"],
            "admission commands": watching["admission_commands"],
            "refused": watching["refused"],
            "brakes": watching["brakes"],
            "braked": [span(seconds) for seconds in watching["brake_s"]],
            "lost readings": watching["lost_readings"],
        }
    )
    idle = [name for name in rows.columns[2:] if not rows[name].astype(str).str.strip("0. s").any()]
    return rows.drop(columns=idle)


def _clocks(run: RunView) -> None:
    found = part(lambda: clocks(run))
    if isinstance(found, Missing):
        absent(f"{found.reason}.")
        return
    if found.empty:
        absent("No clock was recorded in this run.")
        return
    shown = pd.DataFrame(
        {
            "pool": found["pool"],
            "priority": found["priority"],
            "replicas": found["replicas"],
            "mean clock": [_share(value) for value in found["mean_clock"]],
            "time capped": [_share(value) for value in found["capped"]],
        }
    )
    table(shown, "clocks-table", height=min(220, 38 + 30 * len(shown)))
    foot("clocks over the measured window: mean, % of the maximum; share of the replicas' time "
         "below their highest clock; priority 0 is served first",
         "clocks", f"{run.name}-clocks", found)  # fmt: skip


def _share(value: float) -> str:
    return "–" if value != value else percent(value)


def _action_rows(run: RunView, done: pd.DataFrame) -> pd.DataFrame:
    taken = {True: MARKS["good"], False: MARKS["bad"]}
    return pd.DataFrame(
        {
            "": [taken.get(value, "") if not pd.isna(value) else "" for value in done["accepted"]],
            "at": [moment_words(round(t, 1), run.end_s) for t in done["t_s"]],
            "t (s)": [f"{t:,.1f}" for t in done["t_s"]],
            "controller": done["controller"],
            "step": done["step"],
            "what": done["what"],
            "why not": ["" if pd.isna(reason) else reason for reason in done["reason"]],
        }
    )


power()
