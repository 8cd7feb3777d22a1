"""The Streamlit app; ``rackplan dashboard`` starts it."""

from __future__ import annotations

import streamlit as st

#: The pages in their order in the menu: file, title.
PAGES = (
    ("overview", "Overview"),
    ("latency", "Latency"),
    ("fabric", "Fabric"),
)  # fmt: skip

st.set_page_config(page_title="rackplan", layout="wide", initial_sidebar_state="expanded")
st.navigation(
    [
        st.Page(f"views/{name}.py", title=title, url_path=name, default=name == "overview")
        for name, title in PAGES
    ],
    expanded=True,
).run()
# Where a run of the page ends, for whoever waits for it: its number is in the container's class.
st.session_state["reruns"] = st.session_state.get("reruns", 0) + 1
st.container(key=f"rerun-{st.session_state['reruns']}").empty()
