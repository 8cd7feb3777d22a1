"""Explore: which of the scenarios of a study is worth having?"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.charts.explore import SELECTION, along_chart, beyond, scatter_chart
from dashboard.charts.parallel import HEIGHT as PARALLEL_HEIGHT
from dashboard.charts.parallel import parallel_chart
from dashboard.choices import choose_one, clicked
from dashboard.frames import explore as frames
from dashboard.frames import study_answer
from dashboard.frames.quantities import Quantity, quantities
from dashboard.frames.sides import groups
from dashboard.frames.study import StoredStudy, StudyPoint, read_study
from dashboard.listing import PLACEMENT, RUN, SEEDS, STUDY, Listing
from dashboard.load import Missing, Unreadable, part
from dashboard.parts import absent, chart, foot, head, notice, table
from dashboard.shell import choose, left_out, no_result, open_page
from dashboard.style import ink
from dashboard.urls import forget
from sim.spec.axes import flow
from sim.study.naming import seeds_in_words

_COMMAND = "rackplan sweep scenarios/studies/energy-or-latency.yaml"
_STUDY = "explore-study"
#: Parallel axes beyond this cannot be told apart.
_MOST_MEASURES = 6
#: Points of one picture.
_MOST_MARKS = 5000


def explore() -> None:
    """Draw the page."""
    listing = open_page("Explore", "Which of these scenarios is worth having?")
    names = listing.names(STUDY)
    if not names:
        no_result(listing, "study", _COMMAND)
        return
    name = choose(listing, names, "Study", "study")
    try:
        study = read_study(listing, name)
    except Unreadable as error:
        notice("bad", f"{name} cannot be shown", str(error))
        left_out(listing)
        return
    _forget_other(study)
    _facts(study)
    sentence, lines, state = study_answer.answer(study)
    notice(state, sentence, "\n".join(lines), key="answer")
    found = part(lambda: quantities(study))
    if isinstance(found, Missing):
        notice("bad", "Its numbers cannot be shown", found.reason, key="numbers")
    elif not found:
        absent("No point measured anything, so there is nothing to draw.")
        _failures(study)
    else:
        _pictures(listing, study, found)
    left_out(listing)


def _facts(study: StoredStudy) -> None:
    """Where the numbers come from, in the sidebar."""
    lines = [
        study.name,
        f"{len(study.points)} points of {study.base}",
        f"each under {seeds_in_words(study.seeds)}, {study.engine} engine",
    ]
    if study.sampling:
        lines.append(study.sampling)
    if study.baseline:
        lines.append("baseline: " + ", ".join(f"{k}={flow(v)}" for k, v in study.baseline.items()))
    with st.sidebar, st.container(key="small-facts"):
        st.text("\n".join(lines))


def _pictures(listing: Listing, study: StoredStudy, found: Mapping[str, Quantity]) -> None:
    x, y = _chosen_axes(study, found)
    _points(listing, study, found, x, y)
    if len(study.axes) > 1:
        _parallel(study, found)
    _failures(study)
    _every_point(study, found)


def _chosen_axes(study: StoredStudy, found: Mapping[str, Quantity]) -> tuple[Quantity, Quantity]:
    """What the pictures show: the objectives unless the user chooses."""
    names = list(found)
    first, second = 0, min(1, len(names) - 1)
    if len(study.axes) == 1:
        # The first picture is of what is upward, along the axis.
        first, second = second, first
    with st.sidebar:
        x = choose_one(st, "Across", names, "x", names[first], "bottom axis")
        y = choose_one(st, "Up", names, "y", names[second], "left axis")
    return found[x], found[y]


def _forget_other(study: StoredStudy) -> None:
    """What was chosen in another study says nothing of this one."""
    before = st.session_state.get(_STUDY)
    st.session_state[_STUDY] = study.folder
    if before is not None and before != study.folder:
        forget("point", "x", "y", "colour")


@st.fragment
def _points(
    listing: Listing, study: StoredStudy, found: Mapping[str, Quantity], x: Quantity, y: Quantity
) -> None:
    """The picture, and beside it the point that was clicked."""
    left, right = st.columns([0.6, 0.4], gap="small")
    with right:
        point = _chosen_point(study)
        _detail(listing, study, point)
    with left:
        if len(study.axes) == 1:
            _along(study, y, point)
        _scatter(study, x, y, point)
    with right:
        rows = frames.detail_rows(point, found)
        table(
            rows,
            "point-table",
            {"what": st.column_config.TextColumn("what", width=165)},
            height=37 + 30 * min(6, len(rows)),
        )


def _chosen_point(study: StoredStudy) -> StudyPoint:
    """The point in the box, which a click on a picture sets."""
    for picture in ("scatter-chart", "along-chart"):
        clicked("point", picture, SELECTION, "number")
    numbers = [str(point.number) for point in study.points]
    default = str(frames.default_point(study).number)
    number = choose_one(st, "Point", numbers, "point", default, "or click one in the picture")
    return study.by_number[int(number)]


def _detail(listing: Listing, study: StoredStudy, point: StudyPoint) -> None:
    what = study_answer.standing(study, point)
    title = f"Point {point.number}"
    head(title if what == study_answer.POINT else f"{title}: {what}", key="point")
    why = study_answer.why_refused(point)
    if why:
        st.text(why)
    for side, seed, message in point.failed[:3]:
        st.text(f"failed under seed {seed} ({side}): {message}")
    if point.not_run:
        st.text(f"{point.not_run} of its runs were not made (budget)")
    other = frames.reference(study, point)
    if other is None:
        st.code(frames.settings_text(study, point), "yaml")
    else:
        st.text(f"against point {other.number}, {frames.reference_words(study)}:")
        text = frames.settings_difference(study, point, other)
        st.code(text or frames.settings_text(study, point), "diff" if text else "yaml")
    _runs(listing, study, point, other)


def _runs(
    listing: Listing, study: StoredStudy, point: StudyPoint, other: StudyPoint | None
) -> None:
    """Links to the runs of a point, and to their comparison."""
    if study.runs_missing:
        absent(f"Its runs are not known: {study.runs_missing}.")
        return
    there = listing.names(RUN, PLACEMENT)
    for side, words in (("point", "Open its run"), ("baseline", "Its baseline's run")):
        runs = [run for run in frames.runs_of(study, point, side) if run.folder]
        known = [run for run in runs if run.folder in there]
        if known:
            with st.container(horizontal=True, gap="small", key=f"small-runs-{side}"):
                st.text(f"{words}:", width="content")
                for run in known:
                    st.page_link(
                        "views/overview.py",
                        label=f"seed {run.seed}",
                        query_params={"run": run.folder},
                    )
        elif runs:
            absent(
                f"The runs of this {side} are not in this folder ({runs[0].folder}, …).",
                "The same 'rackplan sweep' makes them again.",
            )
    pair = _pair(listing, study, point, other)
    if pair is not None and other is not None:
        st.page_link(
            "views/compare.py",
            label=f"Compare it with point {other.number}",
            query_params={"a": pair[0], "b": pair[1]},
        )


def _pair(
    listing: Listing, study: StoredStudy, point: StudyPoint, other: StudyPoint | None
) -> tuple[str, str] | None:
    """The two points as sides of a comparison, if their runs are here."""
    if other is None:
        return None
    found = []
    known = {member: name for name, members in groups(listing).items() for member in members}
    for one in (other, point):
        folders = [run.folder for run in frames.runs_of(study, one, "point") if run.folder]
        sides = {known.get(folder) for folder in folders}
        several = [
            name
            for name in listing.names(SEEDS)
            if folders and name.startswith(folders[0].rpartition("-s")[0] + "-s")
        ]
        if several:
            found.append(several[0])
        elif len(sides) == 1 and None not in sides:
            found.append(str(sides.pop()))
    return (found[0], found[1]) if len(found) == 2 and found[0] != found[1] else None


def _along(study: StoredStudy, y: Quantity, point: StudyPoint) -> None:
    axis = study.axes[0]
    frame, limits = frames.along_frame(study, y), frames.limits_of(study, y)
    text = f"{y.name}: {y.definition}. Mean over the seeds, 95 % interval"
    if limits:
        text += f"; dashes: {', '.join(limits)}"
    chart(
        along_chart(frame, frames.axis_scale(study, 0), y, limits,
                    point.number, ink()),
        "along",
        f"{y.name} of each point along {axis.name}, with its interval",
        text,
        frames.named_columns(frame, {"y": y}).rename(columns={"place": axis.name}),
        f"{study.folder}-along",
        selection=SELECTION,
    )  # fmt: skip


def _scatter(study: StoredStudy, x: Quantity, y: Quantity, point: StudyPoint) -> None:
    frame = frames.scatter_frame(study, x, y)
    if frame.empty:
        absent(f"No point measured both {x.name} and {y.name}.", "Choose others in the sidebar.")
        return
    drawn = f"{len(frame)} points"
    if len(frame) < len(study.points):
        drawn = f"{len(frame)} of {len(study.points)} points"
    if len(frame) > _MOST_MARKS:
        # Those that the answer names are all drawn; of the others the first.
        named = frame["standing"].isin(study_answer.NAMED)
        frame = frame.loc[named.sort_values(ascending=False, kind="stable").index[:_MOST_MARKS]]
        drawn = f"the first {_MOST_MARKS:,} of {drawn}"
    line, step = frames.front_line(study, x.name, y.name, frame)
    outside = beyond(frame)
    if outside:
        drawn += f" ({outside} not feasible ones lie beyond the axes and are drawn at the edge)"
    about = list(dict.fromkeys(f"{one.name}: {one.definition}" for one in (x, y)))
    chart(
        scatter_chart(frame, x, y, line, step, point.number, ink()),
        "scatter",
        f"The points of the study: {y.name} against {x.name}; the front is a line",
        f"{drawn}, means over the seeds; a click shows one. {'. '.join(about)}",
        frames.named_columns(frame, {"x": x, "y": y}),
        f"{study.folder}-points",
        selection=SELECTION,
    )
    missing = frames.unmeasured(study, x, y)
    if missing:
        head("Points that are not drawn", key="not-drawn")
        table(missing, "not-drawn-table", height=37 + 30 * min(5, len(missing)))


def _parallel(study: StoredStudy, found: Mapping[str, Quantity]) -> None:
    head("Every setting and measure at once", key="parallel")
    names = list(found)
    shown = [found[name] for name in names[:_MOST_MEASURES]]
    with st.sidebar:
        measures = [one.name for one in shown]
        colour = choose_one(st, "Colour of the parallel axes", measures, "colour", measures[0],
                            "the measure that lines are coloured by")  # fmt: skip
    frame = frames.parallel_frame(study, shown)
    scales = frames.parallel_scales(study)
    st.echarts_chart(
        parallel_chart(frame, scales, shown, found[colour], ink()),
        height=PARALLEL_HEIGHT,
        key="parallel-chart",
        alt="A line for each point over the axes and measures of the study",
    )
    text = f"a line is a point, coloured by {colour}; grey dashes: not feasible; drag along an "
    text += "axis to keep only the lines through there"
    logs = [one.name for one in shown if one.log]
    logs += [scale.title for scale in scales if scale.kind == "log"]
    if logs:
        text += f"; log scale: {', '.join(logs)}"
    if len(names) > len(shown):
        text += f"; {len(names) - len(shown)} more measures are in the table"
    foot(text, "parallel", f"{study.folder}-parallel", frame)


def _every_point(study: StoredStudy, found: Mapping[str, Quantity]) -> None:
    head("All points", key="all")
    rows = frames.point_table(study, list(found.values()))
    table(rows, "points-table", height=37 + 30 * min(12, len(rows)))
    for warning in study.warnings[:5]:
        st.text(f"! {warning}")


def _failures(study: StoredStudy) -> None:
    rows = [
        {"point": str(point.number), "settings": point.words, "seed": str(seed), "side": side,
         "why": message}
        for point in study.points
        for side, seed, message in point.failed
    ]  # fmt: skip
    if rows:
        head("Runs that failed", key="failures")
        table(rows, "failures-table", height=37 + 30 * min(6, len(rows)))


explore()
