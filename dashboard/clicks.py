"""Choosing by a click in a chart or by a box, whichever came last; and what is offered first."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.urls import keep, last, remember, tell


def choose_by_click(
    chart_key: str, parameter: str, field: str, key: str, names: Sequence[str], first: str
) -> str:
    """The name that a click in the chart or the box ``key`` chose last; ``first`` before that.

    To be called before the box of that key (``box``) is put: what was clicked is written there.
    """
    seen = f"{key}-clicked"
    clicked = _clicked(chart_key, parameter, field)
    if clicked in names and clicked != st.session_state.get(seen):
        st.session_state[key] = clicked
    st.session_state[seen] = clicked
    return offer(key, names, first)


def box(label: str, key: str, names: Sequence[str], help_text: str) -> str:
    """A box of names whose value was given to it by ``offer``; it is in the URL as ``key``."""
    name = str(st.selectbox(label, names, key=key, help=help_text))
    remember(key, name)
    return name


def offer(key: str, names: Sequence[str], first: str) -> str:
    """Give the widget ``key`` its value (``urls.keep``), ``first`` where nothing was chosen.

    Where nothing but what was offered before stands there, as after a change of the run, the new
    ``first`` takes its place.
    """
    own = f"{key}-offered"
    now = st.session_state.get(key, last(key))
    if now is not None and now == st.session_state.get(own) and first in names:
        now = st.session_state[key] = first
    tell(key, keep(key, names, first))
    value = str(st.session_state[key])
    st.session_state[own] = first if value == first else None
    return value


def _clicked(chart_key: str, parameter: str, field: str) -> str | None:
    state = st.session_state.get(chart_key) or {}
    points = (state.get("selection") or {}).get(parameter) or []
    return str(points[-1][field]) if points and field in points[-1] else None
