"""Scenario: what exactly ran, on which data, and how to make it again."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.choices import choose_one
from dashboard.drafts import OF_RUN, like_shipped
from dashboard.frames import scenario as frames
from dashboard.load import Missing, View, part
from dashboard.parts import absent, head, table
from dashboard.shell import chosen_view
from dashboard.style import MARKS

_WRITTEN, _RESOLVED = "as written", "resolved"
_CODE_PX, _TABLE_PX = 470, 360
_CAPTIONS = {
    _WRITTEN: "what was stated, after 'extends' and '--set', in one file: it can be run as it is",
    _RESOLVED: "what ran: every default filled in, quantities in SI, names in their canonical form",
}


def scenario() -> None:
    """Draw the page."""
    view = chosen_view("Scenario", "What exactly ran?")
    if view is None:
        return
    said = part(lambda: frames.answer(view))
    with st.container(key="head-answer"):
        st.text(said if isinstance(said, str) else said.reason)
    left, right = st.columns([5, 6], gap="small")
    with left:
        _yaml(view)
    with right:
        _again(view)
        _details(view)


def _yaml(view: View) -> None:
    written = part(lambda: frames.written_yaml(view))
    forms = (
        (_RESOLVED,) if written is None or isinstance(written, Missing) else (_WRITTEN, _RESOLVED)
    )
    form = choose_one(st, "The scenario", forms, "form", forms[0],
                      "as it was written, or with every default filled in")  # fmt: skip
    text = written if form == _WRITTEN else part(lambda: frames.resolved_yaml(view))
    if not isinstance(text, str):
        absent(f"{text.reason}." if isinstance(text, Missing) else "It was not kept.")
        return
    st.code(text, language="yaml", line_numbers=True, height=_CODE_PX)
    caption = _CAPTIONS[form]
    if written is None:
        caption += "; as it was written it was not kept by the rackplan that made this run"
    with st.container(horizontal=True, wrap=False, key="small-yaml"):
        st.text(f"{len(text.splitlines()):,} lines; {caption}", width="stretch")
        st.download_button(
            "YAML", data=text.encode(), file_name=_file_name(view, form),
            mime="application/yaml", on_click="ignore", type="tertiary", key="yaml",
            help="this text as a file",
        )  # fmt: skip


def _file_name(view: View, form: str) -> str:
    return f"{view.name}.yaml" if form == _WRITTEN else f"{view.name}-resolved.yaml"


def _again(view: View) -> None:
    head("To make it again")
    if part(lambda: frames.written_yaml(view)):
        st.code(frames.command(view, _file_name(view, _WRITTEN)), language=None)
        where = "the file is the YAML on the left"
    else:
        like = _like_shipped(view, view.name, view.stamp)
        if like is None:
            absent(
                "The scenario as it was written was not kept, and no shipped one is the same:",
                "run its file again with this rackplan.",
            )
            return
        st.code(frames.command(view, f"scenarios/{like}"), language=None)
        where = f"the shipped {like} means the same"
    inputs = part(lambda: frames.input_rows(view))
    if isinstance(inputs, list) and inputs:
        where += "; the files that it read have to be beside it (see Files)"
    versions = part(lambda: frames.version_rows(view))
    if isinstance(versions, Missing):
        return
    same = versions[1]
    equal = (
        f"{MARKS['good']} with the versions here the tables are equal byte by byte"
        if same
        else f"{MARKS['near']} it was made with other versions (see Versions): numbers may differ"
    )
    with st.container(key="small-again"):
        st.text(f"{where}\n{equal}")
    st.page_link(
        "views/run.py", label="Change it and run it",
        query_params={"run": view.name, "from": OF_RUN}, help="opens Run with this scenario",
    )  # fmt: skip


@st.cache_data(max_entries=64, show_spinner=False)
def _like_shipped(_view: View, name: str, stamp: tuple[int, ...]) -> str | None:
    found = part(lambda: like_shipped(_view))
    return found if isinstance(found, str) else None


def _details(view: View) -> None:
    names = ("Sources", "Files", "Calibration", "Versions", "Tables", "Definitions", "Warnings")
    sources, files, calibration, versions, tables, definitions, warnings = st.tabs(names)
    with sources:
        _rows(
            lambda: frames.source_rows(view),
            "sources",
            "where the numbers of the catalog are from, and under which licence",
            "No entry of the catalog was used: all that it ran on is in its own files.",
        )
    with files:
        _rows(
            lambda: frames.input_rows(view),
            "inputs",
            "files that the run read beside the scenario, and the digest of what was in them",
            "It read no file beside the scenario.",
        )
    with calibration:
        _rows(
            lambda: frames.calibration_rows(view),
            "calibration",
            "fitted constants that speeds and draws rest on",
            "No speed or draw was predicted.",
        )
        _rows(
            lambda: frames.error_rows(view),
            "errors",
            "expected errors of each pool's predictions, on runs that were not fitted",
            "No pool's steps were predicted: they are measured ones, or there is none.",
        )
    with versions:
        _rows(
            lambda: frames.version_rows(view)[0],
            "versions",
            "with the same versions, scenario and seed, the tables are equal byte by byte",
            "The run does not say.",
        )
    with tables:
        _rows(lambda: frames.table_rows(view), "tables", "rows of the run's tables", "None.")
    with definitions:
        _rows(lambda: frames.definition_rows(view), "definitions", "how numbers were made", "None.")
    with warnings:
        if not view.warnings:
            absent("None.")
        for warning in view.warnings:
            st.text(f"{MARKS['near']} {warning}")


def _rows(read: Callable[[], frames.Rows], key: str, caption: str, empty: str) -> None:
    rows = part(read)
    if isinstance(rows, Missing):
        absent(f"{rows.reason}.")
        return
    if not rows:
        absent(empty)
        return
    fits = len(rows) * 30 + 40 < _TABLE_PX
    table(rows, f"{key}-table", height="auto" if fits else _TABLE_PX)
    with st.container(key=f"small-{key}"):
        st.text(caption)


scenario()
