"""Frames that take long to make, kept while the files of their run are the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import streamlit as st

from dashboard.load import View

_T = TypeVar("_T")


def kept(view: View, what: str, make: Callable[[], _T], *of: Hashable) -> _T:
    """What ``make`` returns, from the cache where the same was made of the same files.

    ``what`` and ``of`` name it; ``make`` must depend on nothing else but the view. Each caller
    has a copy of its own.
    """
    value: _T = _kept(make, what, of, view.name, view.stamp)
    return value


@st.cache_data(max_entries=256, show_spinner=False)
def _kept(
    _make: Callable[[], Any], what: str, of: tuple[Any, ...], name: str, stamp: tuple[int, ...]
) -> Any:
    return _make()
