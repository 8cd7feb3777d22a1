"""Choosing by a click in a chart or by a box: whichever came last."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import streamlit as st


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
    return offered(key, names, first)


def offered(key: str, names: Collection[str], first: str) -> str:
    """What the widget ``key`` chose, or ``first`` where that is none of ``names``.

    Where nothing but an earlier ``first`` stands there, as after a change of the run, the new one
    takes its place. To be called before the widget is put, which must have no default of its own.
    """
    own = f"{key}-offered"
    asked = st.session_state.get(key, st.query_params.get(key))
    if asked not in names or asked == st.session_state.get(own) != first:
        st.session_state[key] = asked = st.session_state[own] = first
    return str(asked)


def box(label: str, key: str, names: Sequence[str], help_text: str) -> str:
    """The box of ``choose_by_click``; what it chose is in the URL as ``key``."""
    return str(st.selectbox(label, names, key=key, bind="query-params", help=help_text))


def _clicked(chart_key: str, parameter: str, field: str) -> str | None:
    state = st.session_state.get(chart_key) or {}
    points = (state.get("selection") or {}).get(parameter) or []
    return str(points[-1][field]) if points and field in points[-1] else None
