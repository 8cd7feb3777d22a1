"""What surrounds every page: its question, the choice of a result, and what is said without one."""

from __future__ import annotations

import os

import streamlit as st

from dashboard.ahead import read_ahead
from dashboard.listing import PLACEMENT, RUN, RUN_VARIABLE, Listing, list_results, root_folder
from dashboard.load import RunView, Unreadable, View, read_view
from dashboard.parts import notice
from dashboard.style import apply_style
from dashboard.urls import keep, last, remember
from sim.results.wording import span

_KEY = "run"
_UNKNOWN = "unknown-{}"


def open_page(title: str, question: str) -> Listing:
    """Put the head of a page; what results there are."""
    apply_style()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="page-head"):
        with st.container(key="page-title", width="content"):
            st.text(title)
        with st.container(key="page-question", width="stretch"):
            st.text(question)
    return list_results(root_folder())


def chosen_run(title: str, question: str) -> RunView | None:
    """The run that the user chose, or None after the page has said why there is none."""
    view = chosen_view(title, question)
    if view is None or isinstance(view, RunView):
        return view
    notice(
        "none",
        f"{view.name} is a placement",
        "It served no request, so there is nothing to show here: see Placement and Scenario.",
    )
    return None


def chosen_view(title: str, question: str) -> View | None:
    """The same of a run or a placement."""
    return choose_view(open_page(title, question))


def choose_view(listing: Listing) -> View | None:
    """The run or placement that the user chose, or None after saying why there is none."""
    names = listing.names(RUN, PLACEMENT)
    if not names:
        no_result(listing, "run", "rackplan run scenarios/quickstart.yaml")
        return None
    name = choose(listing, names, "Run", _KEY, _first(names))
    try:
        view = read_view(listing, name)
    except Unreadable as error:
        notice("bad", f"{name} cannot be shown", str(error))
        left_out(listing)
        return None
    if isinstance(view, RunView):
        read_ahead(view)
    _facts(view)
    left_out(listing)
    if view.outcome == "partial":
        reason = str(view.manifest.get("reason"))
        until = (
            f"at {span(view.simulated_s)} of {span(view.duration_s)}"
            if isinstance(view, RunView)
            else "early"
        )
        notice("near", f"A partial run: it stopped {until} ({reason})",
               "What is here ends there; no objective is judged.", key="partial")  # fmt: skip
    return view


def choose(listing: Listing, names: tuple[str, ...], label: str, key: str, first: int = 0) -> str:
    """One of ``names`` by a box in the sidebar, which the URL has as ``key``.

    A name in the URL that is none of them (any more) is told, and the first one is taken.
    """
    unknown = _UNKNOWN.format(key)
    before = last(key)
    strange = keep(key, names, names[first])
    if strange is None and before not in (None, *names) and st.query_params.get(key) == before:
        strange = before  # it was shown until now, and is gone
    if strange is not None:
        st.session_state[unknown] = strange[:128]
    with st.sidebar:
        name = st.selectbox(
            label,
            names,
            on_change=lambda: st.session_state.pop(unknown, None),
            help="folders of results, newest first",
            key=key,
        )
    remember(key, name)
    if st.session_state.get(unknown):
        words = f"{st.session_state[unknown]!r} is not in {listing.root}."
        notice("near", f"No {label.lower()} of that name here", words, key=f"unknown-{key}")
    return str(name)


def _first(names: tuple[str, ...]) -> int:
    """Index of the run to show when the URL names none."""
    wanted = os.environ.get(RUN_VARIABLE, "")
    return names.index(wanted) if wanted in names else 0


def no_result(listing: Listing, what: str, command: str) -> None:
    """Say that there is no result of the kind that a page shows, and how to get one."""
    why = listing.missing or f"The folder {listing.root} holds no result of a {what}."
    notice("none", f"No {what} to show yet", f"{why}\nMake one, then reload this page: {command}")
    left_out(listing)


def _facts(view: View) -> None:
    """Where the numbers come from, in the sidebar."""
    lines = [view.name, f"scenario {view.scenario}", f"seed {view.seed}, {view.engine} engine"]
    if isinstance(view, RunView):
        lines += [
            f"{span(view.duration_s)} of arrivals",
            f"measured {span(view.measured_s)} after {span(view.warm_up_s)} of warm-up",
            f"rackplan {view.rackplan}, record {view.record}",
        ]
    else:
        lines.append(f"rackplan {view.rackplan}")
    with st.sidebar, st.container(key="small-facts"):
        st.text("\n".join(lines))


def left_out(listing: Listing) -> None:
    """Say in the sidebar which folders are no results, and why."""
    if not listing.left_out:
        return
    count = len(listing.left_out)
    with st.sidebar, st.container(key="small-left-out"):
        st.text(f"{count} not listed:\n" + "\n".join(listing.left_out[:5]))
