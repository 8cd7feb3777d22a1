"""The moment that a page shows: one slider, the same on every page, in the URL as ``t``."""

from __future__ import annotations

import streamlit as st

from dashboard.charts.axes import moment_words
from dashboard.clicks import offer
from dashboard.frames.bins import bin_width_s
from dashboard.load import RunView
from dashboard.urls import remember

KEY = "t"


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
    offer(KEY, list(named), nearest(run, first_s))
    label = st.select_slider(
        "Simulated time", list(named), key=KEY, help="start of the bin that is shown"
    )
    if in_url:
        remember(KEY, label)
    return named[str(label)]


def named_moments(run: RunView) -> dict[str, float]:
    """The moments of the slider in order: as it shows them → start of the bin in seconds."""
    return {moment_words(start, run.end_s): start for start in moments(run)}


def nearest(run: RunView, t_s: float) -> str:
    """The moment of the slider whose bin holds ``t_s``, as it shows it."""
    named = named_moments(run)
    return min(named, key=lambda word: (named[word] > t_s, abs(named[word] - t_s)))


def go_to(run: RunView, t_s: float) -> None:
    """Show another moment from the next run of the page on: for callbacks of buttons."""
    st.session_state[KEY] = nearest(run, t_s)
