"""What a page shows is in its URL: a choice stays when the page changes, and links lead back.

Streamlit's own binding of widgets to the URL forgets a value when the page changes, and leaves out
a default, which is another one as soon as there is a newer run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

_LAST, _WRITTEN, _GIVEN = "last-{}", "written-{}", "given-{}"
_GATHERED, _GATHERS = "to-write", "gathers"
_STRANGE = "asked-in-vain"
_PAGE, _CHANGED, _VISIT = "page-now", "page-changed", "page-visit"


def enter(page: str) -> None:
    """Note which page is about to run."""
    changed = st.session_state.get(_PAGE) != page
    st.session_state[_CHANGED] = changed
    st.session_state[_VISIT] = st.session_state.get(_VISIT, 0) + changed
    st.session_state[_PAGE] = page
    if changed:
        st.session_state.pop(_STRANGE, None)


@contextmanager
def one_step() -> Iterator[None]:
    """Write what a whole run of a page remembers at its end, as one step of the browser's history:
    Back leads off a page at once, however many choices it has. Runs of fragments write directly.

    A run that is cut short writes nothing; the next one of the same page writes it.
    """
    if st.session_state[_CHANGED] or _GATHERED not in st.session_state:
        st.session_state[_GATHERED] = {}
    st.session_state[_GATHERS] = True
    try:
        yield
        gathered = st.session_state[_GATHERED]
        if gathered:
            for key, value in gathered.items():
                st.session_state[_WRITTEN.format(key)] = value
            st.query_params.update(gathered)
            st.session_state[_GATHERED] = {}
    finally:
        st.session_state[_GATHERS] = False


def keep(key: str, options: Sequence[Any], first: Any) -> str | None:
    """Give the widget ``key`` its value before it is drawn (with that key and no default).

    It is what the user has just chosen; else what the URL asks for, if that is new; else what was
    chosen before, here or under the same key on another page; else ``first``.

    Returns:
        What the URL newly asks for and no option is, if so.
    """
    asked, now = st.query_params.get(key), st.session_state.get(key)
    before, visit = st.session_state.get(_LAST.format(key)), st.session_state.get(_VISIT)
    # On another page it is another widget, which does not know the value.
    unknown = st.session_state.get(_GIVEN.format(key)) != visit
    st.session_state[_GIVEN.format(key)] = visit
    named = {str(option): option for option in options}
    wanted, strange = now, None
    # While a slider is dragged, messages come with the URL of a moment ago.
    dragged = not unknown and now is not None and now != before
    if newly_asked(key) and not dragged:
        wanted, strange = named.get(asked), None if asked in named else asked
    if wanted not in options:
        wanted = before if before in options else first
    # To set what it says already would undo what the user does in the meantime.
    if unknown or wanted != now:
        st.session_state[key] = wanted
    return strange


def newly_asked(key: str) -> bool:
    """Whether the URL asks for something that was not written there from here."""
    asked = st.query_params.get(key)
    return asked is not None and asked != st.session_state.get(_WRITTEN.format(key))


def remember(key: str, value: Any) -> None:
    """Put what the widget ``key`` now says into the URL, and keep it for other pages."""
    _untell(key, value)
    st.session_state[_LAST.format(key)] = value
    written = st.session_state.get(_WRITTEN.format(key))
    # Each writing is a step of the browser's history. Where the user came back to a step before it,
    # the key is missing though nothing has changed; to write it again would never let them leave.
    missing = key not in st.query_params and (written is None or st.session_state.get(_CHANGED))
    differs = key in st.query_params and st.query_params[key] != str(value)
    if not (written != str(value) or missing or differs):
        return
    if st.session_state.get(_GATHERS):
        st.session_state[_GATHERED][key] = str(value)
    else:
        st.session_state[_WRITTEN.format(key)] = str(value)
        st.query_params[key] = str(value)


def tell(key: str, strange: str | None) -> None:
    """Note what the URL asks for in vain; the page says so at its end (``told``)."""
    if strange is not None:
        said = {**st.session_state.get(_STRANGE, {})}
        said[key] = (strange[:128], str(st.session_state.get(key)))
        st.session_state[_STRANGE] = said


def _untell(key: str, value: Any) -> None:
    """Another choice than the one that took its place has answered what was told of ``key``."""
    said = dict(st.session_state.get(_STRANGE, {}))
    if key not in said or said[key][1] == str(value):
        return
    del said[key]
    st.session_state[_STRANGE] = said


def told() -> list[str]:
    """What the URL of this page asked for in vain: ``node=…``."""
    return [f"{key}={asked}" for key, (asked, _) in st.session_state.get(_STRANGE, {}).items()]


def last(key: str) -> str | None:
    """What was chosen under a key, on whatever page."""
    value = st.session_state.get(_LAST.format(key))
    return None if value is None else str(value)


def forget(*keys: str) -> None:
    """Take back what was chosen under these keys, before their widgets are drawn; a value that the
    URL newly asks for stays."""
    for key in keys:
        for name in (key, _LAST.format(key)):
            st.session_state.pop(name, None)
