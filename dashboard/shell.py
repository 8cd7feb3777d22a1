"""What surrounds every page: the choice of a run, and what is said when there is none."""

from __future__ import annotations

import os

import streamlit as st

from dashboard.listing import RUN_VARIABLE, Listing, list_runs, root_folder
from dashboard.load import RunView, Unreadable, read_run
from dashboard.style import apply_style
from sim.results.wording import span

_KEY = "run"
_UNKNOWN = "unknown_run"


def chosen_run() -> RunView | None:
    """The run that the user chose, or None after the page has said why there is none."""
    apply_style()
    listing = list_runs(root_folder())
    if not listing.names:
        _nothing(listing)
        return None
    _note_unknown(listing)
    with st.sidebar:
        name = st.selectbox(
            "Run",
            listing.names,
            index=_first(listing),
            key=_KEY,
            bind="query-params",
            on_change=_forget_unknown,
            help="folders of results, newest first",
        )
    unknown = st.session_state.get(_UNKNOWN)
    if unknown:
        _state("near", "No run of that name here", f"{unknown!r} is not in {listing.root}.")
    try:
        run = read_run(listing, str(name))
    except Unreadable as error:
        _state("bad", f"{name} cannot be shown", str(error))
        _left_out(listing)
        return None
    _facts(run)
    _left_out(listing)
    return run


def _first(listing: Listing) -> int:
    """Index of the run to show when the URL names none."""
    wanted = os.environ.get(RUN_VARIABLE, "")
    return listing.names.index(wanted) if wanted in listing.names else 0


def _note_unknown(listing: Listing) -> None:
    """Keep a name of the URL that no run has: the widget is about to drop it."""
    asked = st.query_params.get(_KEY)
    if asked is not None and asked not in listing.names:
        st.session_state[_UNKNOWN] = asked[:128]
    elif asked is not None:
        _forget_unknown()


def _forget_unknown() -> None:
    st.session_state.pop(_UNKNOWN, None)


def _nothing(listing: Listing) -> None:
    why = listing.missing or f"The folder {listing.root} holds no result of a run."
    _state(
        "none",
        "No run to show yet",
        f"{why}\nMake one, then reload this page: rackplan run scenarios/quickstart.yaml",
    )
    _left_out(listing)


def _state(state: str, title: str, detail: str) -> None:
    """A coloured block of plain text."""
    with st.container(key=f"{state}-block-notice"):
        with st.container(key="title-notice"):
            st.text(title)
        st.text(detail)


def _facts(run: RunView) -> None:
    """Where the numbers come from, in the sidebar."""
    lines = [
        run.name,
        f"scenario {run.scenario}",
        f"seed {run.seed}, {run.engine} engine",
        f"{span(run.duration_s)} of arrivals",
        f"measured {span(run.measured_s)} after {span(run.warm_up_s)} of warm-up",
        f"rackplan {run.rackplan}, record {run.record}",
    ]
    with st.sidebar, st.container(key="small-facts"):
        st.text("\n".join(lines))


def _left_out(listing: Listing) -> None:
    if not listing.left_out:
        return
    count = len(listing.left_out)
    with st.sidebar, st.container(key="small-left-out"):
        st.text(f"{count} not listed:\n" + "\n".join(listing.left_out[:5]))
