"""Run: what would this change do? A scenario is edited, checked and run in a process of its own."""

from __future__ import annotations

import difflib
import time
from dataclasses import replace
from pathlib import Path

import streamlit as st

from dashboard import drafts, jobs
from dashboard.choices import box
from dashboard.drafts import OF_RUN, Checked, Start
from dashboard.frames.run import effect_rows
from dashboard.jobs import Job
from dashboard.listing import PLACEMENT, RUN, Listing, list_results
from dashboard.load import Missing, RunView, Unreadable, View, part, read_view
from dashboard.parts import absent, head, notice, table
from dashboard.shell import choose, left_out, open_page
from dashboard.style import MARKS
from dashboard.urls import keep, tell
from sim.errors import RackplanError
from sim.paths import share
from sim.results.wording import span

_LAST = "what was run last"
_SHIPPED, _FILE = "shipped: ", "file: "
_EDITOR_PX, _MESSAGES_PX = 420, 300
_MOST_SEED = 2**53 - 1
_EVERY_S = 1.0
#: For how long a check is believed: a file that it names may come or change.
_CHECK_S = 10.0
_HOW = (
    "Ctrl+Enter checks. The scenario may name the files of the folder it started from, and no "
    "others; they are copied beside it. The run is a process of its own: it goes on if this page "
    "is closed or the dashboard is stopped. One run at a time."
)


def run() -> None:
    """Draw the page."""
    listing = open_page("Run", "What would this change do? Edit a scenario and run it.")
    view = _chosen(listing)
    there = jobs.jobs(listing.root)
    live = next((job for job in there if job.live), None)
    with st.container(horizontal=True, vertical_alignment="bottom", key="start-row"):
        origin = _origin(listing, view, there)
        start = part(lambda: _start(listing.root, origin, view, there))
        seed = 0
        if isinstance(start, Start):
            seed = _seed(start, _key("seed", origin, view, there))
        place = st.container(width="content", key="start-place")
    if isinstance(start, Missing):
        notice("bad", "There is nothing to start from", f"{start.reason}.", key="no-start")
        _job_panel(listing, there)
        return
    left, right = st.columns([4, 3], gap="small")
    with left:
        text = _editor(start, _key("text", origin, view, there))
    checked = _checked(text, str(start.folder))
    with place:
        before = view.name if origin == OF_RUN and view is not None else ""
        if origin == _LAST:
            before = there[0].before
        _start_button(listing.root, text, start, seed, (origin, before), checked, live)
    with right:
        _job_panel(listing, there)
        _verdict(text, checked, start)
    _changes(start.text, text)


def _chosen(listing: Listing) -> View | None:
    """The run of the box in the sidebar, if there is one that can be read."""
    names = listing.names(RUN, PLACEMENT)
    if not names:
        return None
    name = choose(listing, names, "Run", "run")
    left_out(listing)
    try:
        return read_view(listing, name)
    except Unreadable as error:
        notice("bad", f"{name} cannot be shown", str(error), key="unreadable")
        return None


def _origin(listing: Listing, view: View | None, there: list[Job]) -> str:
    options = ([] if view is None else [OF_RUN]) + ([_LAST] if there else [])
    options += [f"{_SHIPPED}{name}" for name in drafts.shipped()]
    options += [f"{_FILE}{name}" for name in drafts.files_under(listing.root)]
    first = 0 if view is not None else options.index(f"{_SHIPPED}quickstart.yaml")
    # A run that came since is no reason to leave what is being edited.
    tell("from", keep("from", options, options[first]))
    return box(
        st,
        "Start from",
        options,
        "from",
        "a run's scenario as it was written, what was run from here last, a scenario that "
        "comes with rackplan, or a YAML file in the folder of the runs; another choice leaves what "
        "was edited as it is",
    )


def _start(root: Path, origin: str, view: View | None, there: list[Job]) -> Start:
    if origin == _LAST:
        start = drafts.of_file(there[0].folder / "files", there[0].file)
        return replace(start, seed=there[0].seed)
    if origin.startswith(_SHIPPED):
        return drafts.of_file(share("scenarios"), origin.removeprefix(_SHIPPED))
    if origin.startswith(_FILE):
        return drafts.of_file(root, origin.removeprefix(_FILE))
    assert view is not None
    return _of_run(view, view.name, view.stamp, str(root))


# It may read the files that a run read, to see whether they are still the same.
@st.cache_data(max_entries=16, ttl=60.0, show_spinner=False)
def _of_run(_view: View, name: str, stamp: tuple[int, ...], root: str) -> Start:
    return drafts.of_run(_view, Path(root))


def _key(kind: str, origin: str, view: View | None, there: list[Job]) -> str:
    """A widget's key: each scenario to start from has an editor and a seed of its own."""
    if origin == OF_RUN and view is not None:
        return f"{kind}-{origin}-{view.name}"
    return f"{kind}-{origin}-{there[0].id}" if origin == _LAST else f"{kind}-{origin}"


def _seed(start: Start, key: str) -> int:
    first = start.seed
    if first is None:
        scenario = _checked(start.text, str(start.folder)).scenario
        first = 1 if scenario is None else scenario.seed
    seed = st.number_input(
        "Seed",
        min_value=0,
        max_value=_MOST_SEED,
        value=min(first, _MOST_SEED),
        step=1,
        width=120,
        key=key,
        persist_state="session",
        help="of all randomness; the same seed gives the same requests, so that a change is all "
        "that differs",
    )
    return int(seed or 0)


def _editor(start: Start, key: str) -> str:
    with st.container(key="editor"):
        text = st.text_area(
            "Scenario",
            value=start.text,
            height=_EDITOR_PX,
            key=key,
            persist_state="session",
            label_visibility="collapsed",
        )
    with st.container(horizontal=True, wrap=False, key="small-editor"):
        st.text(_HOW, width="stretch")
        st.download_button(
            "YAML", data=(text or "").encode(errors="replace"), file_name="edited.yaml",
            mime="application/yaml", on_click="ignore", type="tertiary", key="yaml",
            help="the scenario as it is edited",
        )  # fmt: skip
    return str(text or "")


@st.cache_resource(max_entries=8, ttl=_CHECK_S, show_spinner=False)
def _checked(text: str, folder: str) -> Checked:
    return drafts.look(text, Path(folder))


def _start_button(
    root: Path,
    text: str,
    start: Start,
    seed: int,
    origin: tuple[str, str],
    checked: Checked,
    live: Job | None,
) -> None:
    why = ""
    if checked.problems:
        why = "the scenario has to be right first"
    elif live is not None:
        why = "one run at a time: wait for the one that runs, or cancel it"
    pressed = st.button(
        "Run it", type="primary", key="start", disabled=bool(why), help=why or "as rackplan run"
    )
    if not pressed:
        return
    # Looked at again: the files that it names may have changed since.
    fresh = drafts.look(text, start.folder)
    try:
        if fresh.problems:
            raise RackplanError(str(fresh.problems[0]))
        jobs.start(root, text, fresh, seed, *origin)
    except RackplanError as error:
        st.session_state["start-failed"] = str(error)
    st.rerun()


def _verdict(text: str, checked: Checked, start: Start) -> None:
    failed = st.session_state.pop("start-failed", None)
    if failed:
        notice("bad", "The run was not started", failed, key="start-failed")
    if checked.problems:
        count = len(checked.problems)
        words = "1 problem" if count == 1 else f"{count:,} problems"
        notice("bad", f"{MARKS['bad']} {words}", "", key="problems")
        with st.container(key="messages"):
            st.code(drafts.messages(text, checked.problems), language=None, height=_MESSAGES_PX)
        return
    assert checked.scenario is not None
    lines = [*checked.remarks, *(f"{MARKS['near']} {warning}" for warning in checked.warnings)]
    if start.note:
        lines.append(f"from {start.note}" if start.note.startswith("the shipped") else start.note)
    if checked.files:
        lines.append(f"reads {', '.join(sorted(checked.files))}")
    title = f"{MARKS['good']} {drafts.summary(checked.scenario)}"
    notice("good", title, "\n".join(lines), key="right")


def _changes(before: str, after: str) -> None:
    head("What was changed", key="changes")
    old, new = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(old, new, "before", "after", n=2, lineterm=""))
    if not lines:
        absent("Nothing yet.", "Change a value above; this shows the lines that differ.")
        return
    st.code("\n".join(lines), language="diff")


def _job_panel(listing: Listing, there: list[Job]) -> None:
    """The latest job, looked at again each second while it is live."""
    if not there:
        return
    every = _EVERY_S if there[0].live else None
    st.fragment(_job, run_every=every)(listing.root, there[0].live)


def _job(root: Path, was_live: bool) -> None:
    there = jobs.jobs(root)
    if not there:
        return
    job = there[0]
    if was_live and not job.live:
        st.rerun()  # the whole page: it has a result to show, and may start another
    with st.container(key="job"):
        {
            jobs.RUNNING: _running,
            jobs.STOPPING: _running,
            jobs.DONE: _ended,
            jobs.STOPPED: _ended,
            jobs.FAILED: _failed,
        }[job.state](root, job)


def _running(root: Path, job: Job) -> None:
    stopping = job.state == jobs.STOPPING
    title = f"{job.scenario}, seed {job.seed}: {'stopping' if stopping else 'running'}"
    notice("none", title, _how_far(job), key="job-live")
    st.progress(job.share)
    said = job.messages().strip()
    if said:
        st.text(said)
    help_text = f"what was simulated is kept as a partial run; killed after {jobs.GRACE_S:.0f} s"
    if st.button("Cancel", key="cancel", disabled=stopping, help=help_text):
        jobs.cancel(job)
        st.rerun()


def _how_far(job: Job) -> str:
    if not job.total_s:
        return f"reading and building, {max(0.0, time.time() - job.started_s):.0f} s so far"
    text = f"{span(job.simulated_s)} of {span(job.total_s)} simulated"
    if 0.03 < job.share < 1.0:
        text += f", {span(job.wall_s * (1.0 - job.share) / job.share)} left"
    return text


def _ended(root: Path, job: Job) -> None:
    if not job.result:
        notice(
            "none",
            f"{job.scenario}, seed {job.seed}: cancelled",
            "Nothing was kept.",
            key="job-ended",
        )
        return
    whole = job.state == jobs.DONE
    title = f"{job.scenario}, seed {job.seed}: {'done' if whole else 'stopped, kept as partial'}"
    notice("good" if whole else "near", title, job.result, key="job-ended")
    st.page_link("views/overview.py", label="Open its result", query_params={"run": job.result})
    _effect(root, job)
    _said(job)


def _effect(root: Path, job: Job) -> None:
    listing = list_results(root)
    names = listing.names(RUN, PLACEMENT)
    if job.result not in names:
        absent(f"{job.result} is not in {root} any more.")
        return
    after = part(lambda: read_view(listing, job.result))
    if isinstance(after, Missing):
        absent(f"{job.result} cannot be shown: {after.reason}.")
        return
    before = None
    if job.before in names and job.before != job.result:
        found = part(lambda: read_view(listing, job.before))
        same = isinstance(found, View) and isinstance(found, RunView) == isinstance(after, RunView)
        before = found if same else None
    table(effect_rows(before, after), "effect")
    if before is None:
        return
    words = f"before: {job.before}. One seed each: no interval can be given."
    if "partial" in (before.outcome, after.outcome):
        words += " One of them is partial: what it measured is not of the same time."
    with st.container(key="small-effect"):
        st.text(words)


def _failed(root: Path, job: Job) -> None:
    notice("bad", f"{job.scenario}, seed {job.seed}: failed", "What it said:", key="job-failed")
    said = job.messages().strip() or "nothing: it was killed, or the machine was restarted"
    st.code(said, language=None, height=_MESSAGES_PX // 2)


def _said(job: Job) -> None:
    said = job.messages().strip()
    if said:
        with st.container(key="small-said"):
            st.text(said)


run()
