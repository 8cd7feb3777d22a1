"""Choices of a page: boxes and switches whose value is in the URL, and clicks that set them.

Within a run of a page: first what was clicked is written to its box (``clicked``, ``picked``), then
the box gets its value (``offer``), then it is put (``box``); ``choose_one`` does the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.urls import keep, last, newly_asked, remember, tell


def choose_one(
    place: Any, label: str, names: Sequence[str], key: str, first: str, help_text: str | None = None
) -> str:
    """One of ``names`` by a box at ``place`` (``st``, a column, a container), which the URL has as
    ``key``; ``first`` until the user chooses."""
    offer(key, names, first)
    return box(place, label, names, key, help_text)


def offer(key: str, names: Sequence[str], first: str) -> str:
    """Give the box ``key`` its value (``urls.keep``) before it is put, ``first`` where nothing was
    chosen; the value.

    Where nothing but what was offered before stands there, as after a change of the run, the new
    ``first`` takes its place.
    """
    own = f"{key}-offered"
    now = st.session_state.get(key, last(key))
    was_offered = now is not None and now == st.session_state.get(own)
    if was_offered and now != first and first in names and not newly_asked(key):
        st.session_state[key] = first
    tell(key, keep(key, names, first))
    value = str(st.session_state[key])
    st.session_state[own] = first if value == first else None
    return value


def box(
    place: Any, label: str, names: Sequence[str], key: str, help_text: str | None = None
) -> str:
    """A box of names whose value was given to it by ``offer``; it is in the URL as ``key``."""
    name = str(place.selectbox(label, names, key=key, help=help_text))
    remember(key, name)
    return name


def switched(place: Any, label: str, key: str) -> bool:
    """Whether a switch at ``place`` is on, which the URL has; off at first."""
    tell(key, keep(key, (False, True), False))
    value = bool(place.toggle(label, key=key))
    remember(key, value)
    return value


def clicked(
    key: str, widget: str, parameter: str, field: str, otherwise: str | None = None
) -> None:
    """Let a click in a chart set the box ``key``, before either is put.

    ``widget``: key of the chart; ``parameter`` and ``field``: of its point selection. A click of
    before does not set the box again; one that takes the choice back sets ``otherwise``, if given.
    A chart that was not there, as on another page, has taken nothing back.
    """
    state = st.session_state.get(widget) or {}
    points = (state.get("selection") or {}).get(parameter) or []
    name = points[-1].get(field) if points else None
    otherwise = otherwise if widget in st.session_state else None
    picked(key, widget, None if name is None else str(name), otherwise)


def picked(key: str, widget: str, name: str | None, otherwise: str | None = None) -> None:
    """The same of what was picked in any widget."""
    before = f"picked-{key}-{widget}"
    if name == st.session_state.get(before):
        return
    st.session_state[before] = name
    if name is not None or otherwise is not None:
        st.session_state[key] = otherwise if name is None else name
