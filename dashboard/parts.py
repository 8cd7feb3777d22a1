"""Parts of pages: blocks, headings, charts with their captions and files, tables, cards."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboard.style import Ink, ink, plain
from sim.results.metrics import Metric
from sim.results.wording import shown, span


def notice(state: str, title: str, detail: str, key: str = "notice") -> None:
    """A coloured block of plain text; ``state`` is a key of ``style.STATES``."""
    with st.container(key=f"{state}-block-{key}"):
        with st.container(key=f"title-{key}"):
            st.text(title)
        if detail:
            st.text(detail)


def head(text: str, key: str = "") -> None:
    """A heading."""
    with st.container(key=f"head-{key or text.split()[0].lower()}"):
        st.text(text)


def absent(reason: str, cure: str = "") -> None:
    """An empty part of the page: what is missing and why, and how to get it."""
    # Reasons of errors may end a sentence or not.
    ended = f"{reason.rstrip('.')}." if reason.endswith("..") else reason
    st.text(f"{ended} {cure}".strip())


def chart(
    picture: alt.TopLevelMixin,
    key: str,
    alt_text: str,
    caption: str,
    frame: pd.DataFrame,
    file_name: str,
    selection: str | None = None,
) -> Any:
    """A chart, under it what it shows and how, and its numbers and picture as files.

    ``file_name``: without an ending. ``selection``: name of a point parameter of the chart; what
    is selected is returned, as Streamlit gives it, and the page (or its fragment) runs again.
    """
    chosen = st.altair_chart(
        picture,
        key=f"{key}-chart",
        alt=alt_text,
        **({"on_select": "rerun", "selection_mode": selection} if selection else {}),
    )
    foot(caption, key, file_name, frame, picture)
    return chosen if selection else None


def foot(
    caption: str,
    key: str,
    file_name: str,
    frame: pd.DataFrame,
    picture: alt.TopLevelMixin | None = None,
) -> None:
    """What a chart or a table shows and how, its numbers as a file, and its picture."""
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", key=f"small-{key}"):
        st.text(caption, width="stretch")
        _file("CSV", lambda: frame.to_csv(index=False).encode(), f"{file_name}.csv", "text/csv",
              f"{key}-csv", "the numbers of this chart")  # fmt: skip
        if picture is None:
            return
        colours = ink()
        for kind, mime in (("SVG", "image/svg+xml"), ("PNG", "image/png")):
            ending = kind.lower()
            _file(kind, _drawer(picture, ending, colours), f"{file_name}.{ending}", mime,
                  f"{key}-{ending}", "this chart as a picture")  # fmt: skip


def _file(
    label: str, data: Callable[[], bytes], file_name: str, mime: str, key: str, help_text: str
) -> None:
    """A button that makes a file when it is pressed, and does not run the page again."""
    st.download_button(
        label, data=data, file_name=file_name, mime=mime, on_click="ignore", type="tertiary",
        key=key, help=help_text,
    )  # fmt: skip


def _drawer(picture: alt.TopLevelMixin, ending: str, colours: Ink) -> Callable[[], bytes]:
    return lambda: drawn(picture, ending, colours)


_WIDTH = 900
#: Fonts of a picture's words, first one that has ✓ and ✕: else a text with one is set in a serif.
_WITH_MARKS = "DejaVu Sans, Arial, sans-serif"


def drawn(picture: alt.TopLevelMixin, ending: str, colours: Ink) -> bytes:
    """A chart as the bytes of an SVG or PNG file, in the colours of the page."""
    themed = picture.copy(deep=False).configure_axis(
        labelColor=colours.text, titleColor=colours.text, gridColor=colours.grid,
        domainColor=colours.grid, tickColor=colours.grid, labelFontSize=11, titleFontSize=11,
    ).configure_legend(labelColor=colours.text, titleColor=colours.text).configure_view(
        strokeWidth=0
    ).configure_title(color=colours.text).configure_text(
        font=_WITH_MARKS
    ).properties(background=colours.page)  # fmt: skip
    if isinstance(picture, (alt.Chart, alt.LayerChart)) and themed.width is alt.Undefined:
        themed = themed.properties(width=_WIDTH)
    out = io.BytesIO() if ending == "png" else io.StringIO()
    with alt.data_transformers.enable("default", max_rows=None):
        themed.save(out, format=ending, **({"scale_factor": 2} if ending == "png" else {}))
    content = out.getvalue()
    return content if isinstance(content, bytes) else content.encode()


def table(
    rows: Sequence[Mapping[str, Any]] | pd.DataFrame,
    key: str,
    columns: Mapping[str, Any] | None = None,
    height: int | str = "auto",
    selectable: bool = False,
) -> Any:
    """Rows of text and numbers; a table's cells are drawn, so nothing in them is markup.

    ``columns``: Streamlit's column configuration by name, of our own words only. ``selectable``:
    a row can be chosen, which is returned as Streamlit gives it.
    """
    return st.dataframe(
        rows if isinstance(rows, pd.DataFrame) else pd.DataFrame([dict(row) for row in rows]),
        hide_index=True,
        key=key,
        row_height=30,
        height=height,
        column_config={"": st.column_config.TextColumn("", width=36), **(columns or {})},
        **({"on_select": "rerun", "selection_mode": "single-row"} if selectable else {}),
    )


def card(place: st.delta_generator.DeltaGenerator, label: str, metric: Metric, of: str) -> None:
    """A number with its definition as help, and what to compare it with, or why it is missing."""
    text = metric.definition.definition
    if metric.value is None:
        of, text = "not measured", f"{text}\\\n{plain('Not measured: ' + metric.reason)}"
    fact(place, label, "–" if metric.value is None else shown(metric), of, text)


def fact(
    place: st.delta_generator.DeltaGenerator, label: str, value: str, of: str, definition: str
) -> None:
    """The same of a number that is no metric; ``label`` and ``definition`` are our own words."""
    place.metric(
        label, value, delta=plain(of) or None, delta_color="off", delta_arrow="off",
        help=definition, border=True,
    )  # fmt: skip


def bin_text(width_s: float) -> str:
    """How wide the bins of a chart are."""
    return f"bins of {width_s:g} s" if width_s < 120.0 else f"bins of {span(width_s)}"
