"""Reads ahead what other pages of a run will ask for, while the user looks at the first one.

Pages ask for it themselves, too: whoever is first keeps it for the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import streamlit as st

from dashboard import verdicts
from dashboard.frames import floor, latency, overview, requests, site, split, tree, validity
from dashboard.frames.events import bands
from dashboard.listing import RUN, RUN_VARIABLE, list_results, root_folder
from dashboard.load import RunView, part, read_run

#: Seconds until the first page is most likely painted.
_AFTER_S = 1.0
#: ``serve`` turns it on; tests look at one page at a time.
wanted = False


def read_first() -> None:
    """Read what Overview needs of the run that is shown first unless the URL names another."""
    listing = list_results(root_folder())
    named = os.environ.get(RUN_VARIABLE, "")
    runs = listing.names(RUN)
    if runs:
        first = named if named in runs else runs[0]
        part(lambda: _overview(read_run(listing, first)))


def _overview(run: RunView) -> None:
    bands(run)
    overview.latency_series(run, verdicts.worst_ttft(run)[0])
    overview.draw_series(run)


def read_ahead(run: RunView) -> None:
    """Begin to read, once while the files of the run are the same; returns at once."""
    if wanted:
        _begin(run, run.name, run.stamp)


@st.cache_resource(max_entries=64, show_spinner=False)
def _begin(_run: RunView, name: str, stamp: tuple[int, ...]) -> None:
    # Whoever ends the server waits for it: a library that is cut off in the middle complains.
    threading.Timer(_AFTER_S, read, [_run]).start()


def read(run: RunView) -> None:
    """Read it now; what cannot be read is told by the page that shows it."""
    for one in _asked(run):
        part(one)


def _asked(run: RunView) -> Iterator[Callable[[], object]]:
    """What Power, Floor, Latency and Validity show of a run before anything is chosen."""
    yield lambda: bands(run)
    yield lambda: tree.peaks(run)
    yield lambda: site.racks(run)
    yield lambda: floor.held(run)
    yield lambda: _hottest(run)
    yield lambda: _latency(run)
    yield lambda: validity.pool_rows(run)
    yield validity.read_shipped


def _hottest(run: RunView) -> None:
    hot = floor.hottest(run)
    if hot is not None:
        floor.servers_of(run, hot.rack, tree.first_moment(run))


def _latency(run: RunView) -> None:
    workload = verdicts.worst_ttft(run)[0]
    measure = latency.MEASURES[latency.foremost(run, workload)]
    latency.series(run, workload, measure)
    latency.distribution(run, workload, measure)
    split.ttft_split(run, workload)
    requests.worst(run, workload, measure.word)
