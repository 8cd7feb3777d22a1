"""The moment that a page shows: one slider, the same on every page, in the URL as ``t``."""

from __future__ import annotations

import streamlit as st

from dashboard.charts.axes import moment_words
from dashboard.choices import offer
from dashboard.frames.bins import bin_width_s
from dashboard.load import RunView
from dashboard.urls import last, remember

KEY = "t"
_BEFORE = "t-before"


def moments(run: RunView) -> list[float]:
    """The starts of the bins of draw over the run, in seconds."""
    width = bin_width_s(run)
    count = max(1, -(-int(run.end_s * 1000) // int(width * 1000)))
    return [width * index for index in range(count)]


def moment(run: RunView, first_s: float = 0.0, in_url: bool = True) -> float:
    """The start, in seconds, of the bin that the user chose; ``first_s``: what is shown first.

    ``in_url``: put it into the URL, which is a step of the browser's history.
    """
    named = named_moments(run)
    _outrun(in_url)
    offer(KEY, list(named), nearest(run, first_s))
    label = st.select_slider(
        "Simulated time", list(named), key=KEY, help="start of the bin that is shown"
    )
    if in_url:
        remember(KEY, label)
    return named[str(label)]


def _outrun(in_url: bool) -> None:
    """See that a late message from before the moment went into the URL does not undo it.

    While moments pass by without the URL, the browser asks for runs of the page with the old one;
    the last of them can come after the new one was written, and would look like a step back.
    """
    asked, written = st.query_params.get(KEY), last(KEY)
    if not in_url:
        st.session_state[_BEFORE] = asked
        return
    before = st.session_state.get(_BEFORE)
    if before is None or written is None or before == written:
        return
    if asked == before:
        st.query_params[KEY] = written
    else:
        del st.session_state[_BEFORE]


def named_moments(run: RunView) -> dict[str, float]:
    """The moments of the slider in order: as it shows them → start of the bin in seconds."""
    return {moment_words(start, run.end_s): start for start in moments(run)}


def nearest(run: RunView, t_s: float) -> str:
    """The moment of the slider whose bin holds ``t_s``, as it shows it."""
    named = named_moments(run)
    return min(named, key=lambda word: (named[word] > t_s, abs(named[word] - t_s)))


def told(run: RunView, t_s: float) -> str:
    """A moment in a sentence; one of the warm-up is named so, as no metric counts it."""
    words = moment_words(t_s, run.end_s)
    return f"{words} (warm-up)" if t_s < run.warm_up_s else words


def go_to(run: RunView, t_s: float) -> None:
    """Show another moment from the next run of the page on: for callbacks of buttons."""
    st.session_state[KEY] = nearest(run, t_s)
