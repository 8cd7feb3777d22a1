"""The moment that a page shows: one slider, the same on every page, in the URL as ``t``."""

from __future__ import annotations

import streamlit as st

from dashboard.charts.axes import moment_words
from dashboard.frames.bins import bin_width_s
from dashboard.load import RunView
from dashboard.urls import keep, remember

KEY = "t"


def moments(run: RunView) -> list[float]:
    """The starts of the bins of draw over the run, in seconds."""
    width = bin_width_s(run)
    count = max(1, -(-int(run.end_s * 1000) // int(width * 1000)))
    return [width * index for index in range(count)]


def moment(run: RunView, first_s: float = 0.0) -> float:
    """The start, in seconds, of the bin that the user chose; ``first_s``: what is shown first."""
    starts = moments(run)
    named = {moment_words(start, run.end_s): start for start in starts}
    nearest = min(starts, key=lambda start: abs(start - first_s))
    keep(KEY, list(named), moment_words(nearest, run.end_s))
    label = st.select_slider(
        "Simulated time",
        list(named),
        key=KEY,
        help="start of the bin that is shown",
    )
    remember(KEY, label)
    return named[str(label)]
