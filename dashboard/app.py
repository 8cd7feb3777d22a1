"""The Streamlit app; ``rackplan dashboard`` starts it."""

from __future__ import annotations

import streamlit as st

from dashboard import urls
from dashboard.pages import PAGES

st.set_page_config(page_title="rackplan", layout="wide", initial_sidebar_state="expanded")
pages = {
    name: st.Page(f"views/{name}.py", title=title, url_path=name, default=name == "overview")
    for name, title in PAGES
}
page = st.navigation(list(pages.values()), position="hidden")
urls.enter(page.title)
menu = st.sidebar.container(key="menu")
with urls.one_step():
    page.run()
# A menu of our own, after the page: its links carry the run that was chosen there.
run = urls.last("run")
for entry in pages.values():
    menu.page_link(entry, query_params={"run": run} if run else None, width="stretch")
if urls.told():
    with menu.container(key="small-in-vain"):
        st.text("The address asks for what is not here: " + ", ".join(urls.told()))
# Where a run of the page ends, for whoever waits for it: its number is in the container's class.
st.session_state["reruns"] = st.session_state.get("reruns", 0) + 1
st.container(key=f"rerun-{st.session_state['reruns']}").empty()
