"""Compare: is the difference between two results real?"""

from __future__ import annotations

import streamlit as st

from dashboard.charts.compare import forest_chart
from dashboard.frames import compare as frames
from dashboard.frames import sides
from dashboard.listing import PLACEMENT, RUN, SEEDS, Listing
from dashboard.load import Missing, Unreadable, part
from dashboard.parts import absent, chart, foot, head, notice, table
from dashboard.shell import choose, left_out, no_result, open_page
from dashboard.style import ink
from sim.results.expected import expected_sentences
from sim.study.compare import Comparison
from sim.study.sides import ONE_SEED, Side
from sim.study.told_difference import explained

_COMMAND = "rackplan run scenarios/quickstart.yaml --seeds 8"
#: Wide enough for every unit, in pixels.
_WIDTHS = {"metric": 172, "verdict": 76, "A": 122, "B": 122, "B − A": 136, "± (95 %)": 130,
           "of A": 84}  # fmt: skip


def compare() -> None:
    """Draw the page."""
    listing = open_page("Compare", "Is the difference real?")
    names = sides.names_of(listing)
    if not listing.names(RUN, SEEDS, PLACEMENT):
        no_result(listing, "run", _COMMAND)
        return
    a = choose(listing, names, "A", "a")
    b = choose(listing, names, "B", "b", sides.other_than(names, 0))
    with st.sidebar, st.container(key="small-names"):
        st.text("…-s1-8 is several seeds of a scenario, …-s* its single runs together, …-s1 one.")
    if a == b:
        _same(listing, a)
    else:
        _pair(listing, a, b)
    left_out(listing)


def _same(listing: Listing, name: str) -> None:
    others = len(sides.names_of(listing)) - 1
    cure = (
        "Choose another one as B."
        if others
        else "There is no other result here. Change something and run it, then reload this page:\n"
        "rackplan run scenarios/quickstart.yaml --seeds 8 --set 'pools[chat].replicas=26'"
    )
    notice("none", "A and B are the same result", f"Both are {name}. {cure}")


def _pair(listing: Listing, a: str, b: str) -> None:
    read: list[Side] = []
    stamps = []
    for letter, name in (("A", a), ("B", b)):
        try:
            side, stamp = sides.read_side(listing, name)
        except Unreadable as error:
            notice("bad", f"{letter} cannot be compared: {name}", str(error), key=f"side-{letter}")
            continue
        read.append(side)
        stamps.append(stamp)
    if len(read) < 2:
        return
    first, second = read
    with st.sidebar, st.container(key="small-facts"):
        st.text(f"A: {sides.about(first)}\nB: {sides.about(second)}")
    refused = part(lambda: sides.why_not(first, second))
    if isinstance(refused, Missing):
        notice("bad", "A and B are not comparable", refused.reason, key="refused")
        return
    if refused:
        notice("near", "A and B are not comparable", refused, key="refused")
        _scenarios(first, second)
        return
    with st.sidebar:
        wanted = st.multiselect(
            "Metrics",
            sides.metrics_of_both(first, second),
            key="metrics",
            bind="query-params",
            placeholder="the headline metrics",
            help="what is looked at, which the correction is for; as rackplan compare --metric",
        )
    try:
        found = frames.compared(first, second, tuple(stamps), tuple(map(str, wanted)))
    except Unreadable as error:
        notice("bad", "A and B are not comparable", str(error), key="refused")
        return
    _answer(found)
    _differences(found)
    _scenarios(first, second)


def _answer(found: Comparison) -> None:
    sentence, state = frames.headline(found)
    if found.pairing == ONE_SEED:
        sentence = "One seed each: no interval can be given, so no difference is shown to be real."
    elif not sentence:
        sentence = "Nothing could be judged: see the reasons below."
    lines = [frames.counts(found)] if found.looked_at else []
    lines += [text for text in explained(found) if text.partition(":")[0] not in _names(found)]
    load = frames.load_note(found)
    lines += [f"Note: {note}" for note in ([load] if load else []) + list(found.notes)]
    notice(state, sentence, "\n".join(lines), key="answer")


def _names(found: Comparison) -> set[str]:
    return {line.name for line in found.differences}


def _differences(found: Comparison) -> None:
    drawn = frames.forest(found)
    left, right = st.columns([0.38, 0.62], gap="small")
    name = f"{found.a.name}-{found.b.name}".replace("*", "all")
    with left:
        if drawn.frame.empty:
            absent("No difference can be drawn.", "The table says why for each metric.")
        else:
            chart(
                forest_chart(drawn, ink()),
                "forest",
                "Difference of B in percent of A for each metric, with its 95 % interval",
                _caption(found, drawn),
                drawn.frame.drop(columns=["shown", "from", "to", "beyond"]),
                f"{name}-differences",
            )
    with right:
        rows = frames.table_rows(found)
        table(
            rows,
            "differences-table",
            {key: st.column_config.TextColumn(key, width=px) for key, px in _WIDTHS.items()},
            height=37 + 30 * min(16, max(1, len(rows))),
        )
        _reasons(found)


def _caption(found: Comparison, drawn: frames.Forest) -> str:
    if found.pairing == ONE_SEED:
        text = "one pair of runs: hollow points, no interval"
    else:
        text = "mean over the seeds and its 95 % interval, of each metric alone"
    if (drawn.frame["beyond"] != 0).any():
        text += "; arrows lie off the axis"
    if drawn.left_out:
        why = [f"{name} ({reason})" for name, reason in drawn.left_out.items()]
        text += f"; not drawn: {', '.join(why)}"
    return text


def _reasons(found: Comparison) -> None:
    """Why some metrics have no number or no interval, and how far off speeds may be."""
    lines = [f"{line.name}: {line.reason}" for line in found.differences if line.reason]
    for letter, side in (("A", found.a), ("B", found.b)):
        told = part(lambda side=side: list(expected_sentences(side.manifest, {})))
        if not isinstance(told, Missing):
            lines += [f"{letter}: {text}" for text, _ in told]
    if lines:
        with st.container(key="small-reasons"):
            st.text("\n".join(lines))


def _scenarios(a: Side, b: Side) -> None:
    head("What differs in the scenarios", key="scenarios")
    found = part(lambda: frames.scenario_difference(a, b))
    if isinstance(found, Missing):
        absent(f"{found.reason}.")
        return
    text, cut = found
    if not text:
        absent("The scenarios are the same, line by line.", "Only seeds or versions differ.")
        return
    st.code(text, "diff")
    if cut:
        absent(f"{cut:,} more lines are not shown: rackplan compare --json lists every change.")
    foot("the resolved scenarios, as YAML", "scenarios", "scenarios", frames.diff_frame(text))


compare()
