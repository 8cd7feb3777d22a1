"""The Streamlit app; ``rackplan dashboard`` starts it."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="rackplan", layout="wide", initial_sidebar_state="expanded")
st.navigation(
    [st.Page("views/overview.py", title="Overview", url_path="overview", default=True)]
).run()
