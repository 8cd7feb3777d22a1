"""What a study writes: its rows as Parquet, what they say as JSON, and a manifest.

The folder stands beside those of the runs: ``study.parquet`` has one row for every point, side and
seed, ``study.json`` every point over its seeds. Both depend on the study alone, not on who ran it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import ResultError
from sim.results.folders import MANIFEST, WorkFolder, run_folder_name
from sim.results.manifest import FORMAT, plain, versions
from sim.results.result import STUDY, metrics_json
from sim.spec.axes import Axis, flow
from sim.spec.sampling import SEARCH
from sim.study.design import METHOD as DRAWN
from sim.study.goals import BEST, FRONT
from sim.study.losses import DEFINITIONS as LOSS_DEFINITIONS
from sim.study.losses import LOSSES
from sim.study.making import NOT_RUN, POINT
from sim.study.naming import seeds_folder_name
from sim.study.points import Study
from sim.study.result import DEFINITIONS
from sim.study.search import METHOD as SEARCHED
from sim.study.sweep import PointResult, Row, StudyResult

ROWS, CONTENT = "study.parquet", "study.json"

#: How a probability was made, beside the definitions of metrics over seeds.
PROBABILITY = (
    "share of the runs of a point in which the line holds; interval: Clopper and Pearson, 95 %. A "
    "trip is a breaker that opened, a UPS that let its load go or a battery that ran empty; time "
    "over a budget is none"
)


def folder_name(study: Study) -> str:
    """``<study>-<hash8>-s<first>-<last>``: hash8 is of all that the study asks for."""
    return seeds_folder_name(study.name, _asked(study), study.seeds)


def _asked(study: Study) -> dict[str, Any]:
    """What makes a study this one."""

    def name(scenario: Any) -> str | None:
        return None if scenario is None else run_folder_name(scenario.name, scenario.resolved, 0)

    spec = study.spec
    more = {
        "sampling": None if spec.sampling is None else spec.sampling.text,
        "objectives": [goal.text for goal in spec.objectives],
        "constraints": [line.text for line in study.constraints],
    }
    return {
        **{key: value for key, value in more.items() if value},
        "axes": study.axes,
        "metrics": study.metrics,
        "probabilities": [line.text for line in study.chances],
        "points": [[p.labels, name(p.scenario), name(p.baseline)] for p in study.points],
    }


def content_of(result: StudyResult) -> dict[str, Any]:
    """What a study says, in JSON types: the content of ``study.json``."""
    study = result.study
    content = plain(
        {
            "name": study.name,
            "outcome": "complete" if result.complete else "partial",
            "engine": result.engine,
            "base": study.spec.base,
            "seeds": study.seeds,
            "axes": study.axes,
            **_asked_for(study),
            "baseline": None if study.spec.baseline is None else _sets(study.spec.baseline),
            "confidence": 0.95,
            "definitions": {
                **DEFINITIONS,
                "probability": PROBABILITY,
                **LOSS_DEFINITIONS,
                **({"best": BEST, "front": FRONT} if result.verdict is not None else {}),
            },
            **({} if result.verdict is None else {"answer": asdict(result.verdict)}),
            "points": [_point(study, point) for point in result.points],
        }
    )
    assert isinstance(content, dict)
    return content


def _asked_for(study: Study) -> dict[str, Any]:
    """How points were drawn, and what of them is asked for; nothing of what is not there."""
    spec, found = study.spec, dict[str, Any]()
    if spec.sampling is not None:
        method = SEARCHED if spec.sampling.kind == SEARCH else DRAWN
        found["sampling"] = {
            "kind": spec.sampling.kind,
            "points": spec.sampling.points,
            "seed": spec.sampling.seed,
            **({"batch": spec.sampling.batch} if spec.sampling.kind == SEARCH else {}),
            "method": method,
            "ranges": {axis.name: axis.span.text for axis in spec.axes if axis.span is not None},
        }
    if spec.objectives:
        found["objectives"] = [{goal.goal: goal.metric} for goal in spec.objectives]
    if study.constraints:
        found["constraints"] = [line.text for line in study.constraints]
    if spec.budget is not None:
        found["budget"] = {"runs": spec.budget.runs, "time_s": spec.budget.time_s}
    return found


def _sets(changes: Any) -> dict[str, Any]:
    return {change.where: change.value.plain() for change in changes}


def _point(study: Study, found: PointResult) -> dict[str, Any]:
    point = found.point
    return {
        "point": point.number,
        "labels": dict(zip(study.axes, point.labels, strict=True)),
        "metrics": metrics_json(found.metrics),
        "probabilities": {text: asdict(chance) for text, chance in found.chances.items()},
        "changes": {
            name: {
                "unit": line.definition.unit,
                "baseline": line.a,
                "change": line.difference,
                "low": line.low,
                "high": line.high,
                **({"reason": line.reason} if line.reason else {}),
            }
            for name, line in found.changes.items()
        },
        "losses": {
            workload: {name: asdict(loss) for name, loss in losses.items()}
            for workload, losses in found.losses.items()
        },
        "slice_s": found.slice_s,
        "expectations": [asdict(line) for line in found.expectations],
        **(
            {
                "feasible": found.feasible,
                "constraints": [asdict(line) for line in found.constraints],
            }
            if found.constraints
            else {}
        ),
        **({"not_run": found.not_run} if found.not_run else {}),
        "failed": [
            {"side": side, "seed": seed, "reason": message} for side, seed, message in found.failed
        ],
    }


def save(result: StudyResult, out: Path) -> Path:
    """Write the study's folder, whole or not at all; with failed runs it ends in ``.partial``.

    Raises:
        ResultError: it exists and is no result, or cannot be written.
    """
    work = WorkFolder(out / folder_name(result.study))
    try:
        pq.write_table(rows_of(result), work.path / ROWS, compression="zstd")
        for name, part in ((CONTENT, content_of(result)), (MANIFEST, _manifest(result))):
            text = json.dumps(part, indent=1, ensure_ascii=False, allow_nan=False)
            (work.path / name).write_text(text + "\n", encoding="utf-8")
        return work.publish(partial=not result.complete)
    except OSError as error:
        work.discard()
        raise ResultError(f"cannot write {work.target}: {error.strerror}") from error
    except BaseException:
        work.discard()
        raise


def _manifest(result: StudyResult) -> dict[str, Any]:
    """Where the study came from: what each point set, and which runs it rests on."""
    study = result.study
    content = plain(
        {
            "format": FORMAT,
            "kind": STUDY,
            "outcome": "complete" if result.complete else "partial",
            "reason": _reason(result),
            "study": study.name,
            "base": study.spec.base,
            "engine": result.engine,
            "seeds": study.seeds,
            "axes": {axis.name: _axis(axis) for axis in study.spec.axes},
            **_asked_for(study),
            "metrics": study.metrics,
            "probabilities": [line.text for line in study.chances],
            "baseline": None if study.spec.baseline is None else _sets(study.spec.baseline),
            "points": [
                {"point": p.number, "labels": p.labels, "warnings": p.scenario.warnings}
                for p in study.points
            ],
            "versions": versions(),
        }
    )  # fmt: skip
    assert isinstance(content, dict)
    return content


def _axis(axis: Axis) -> Any:
    """What the levels of an axis set, or the range that values were drawn from."""
    if axis.span is not None:
        return axis.span.text
    return [
        {"label": level.label, "set": {c.where: flow(c.value.plain()) for c in level.changes}}
        for level in axis.levels
    ]


def _reason(result: StudyResult) -> str | None:
    """Why a study is partial; None if it is not."""
    counts = ((result.failed, "failed"), (result.not_run, "were not made (budget)"))
    parts = [f"{count} of {len(result.rows)} runs {what}" for count, what in counts if count]
    if result.stopped:
        parts.append(f"the search stopped after {len(result.points)} points (budget)")
    return "; ".join(parts) or None


def rows_of(result: StudyResult) -> pa.Table:
    """One row for every point, side and seed, in this order; units are in the field metadata."""
    study = result.study
    columns: list[tuple[pa.Field, list[Any]]] = [
        (pa.field("point", pa.int32()), [row.point.number for row in result.rows]),
        *_axes(study, result.rows),
        (pa.field("side", pa.string()), [row.side for row in result.rows]),
        (pa.field("seed", pa.int64()), [row.seed for row in result.rows]),
        *_metrics(study, result.rows),
        *_losses(result.rows),
        *_goals(result),
        (pa.field("status", pa.string()), [_status(row) for row in result.rows]),
        (pa.field("message", pa.string()), [row.message or None for row in result.rows]),
        (
            pa.field("run", pa.string()),
            [None if row.facts is None else row.facts.folder for row in result.rows],
        ),
    ]
    arrays = [pa.array(values, field.type) for field, values in columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field for field, _ in columns]))


def _status(row: Row) -> str:
    if row.not_run:
        return NOT_RUN
    return "failed" if row.failed else "finished"


def _goals(result: StudyResult) -> Iterator[tuple[pa.Field, list[Any]]]:
    """Whether the row's point holds to the constraints, and is on the front; of side POINT."""
    if result.study.constraints:
        holds = {found.point.number: found.feasible for found in result.points}
        about = {"meaning": "whether all constraints hold, over the seeds of the point"}
        answers = [holds[row.point.number] if row.side == POINT else None for row in result.rows]
        yield pa.field("feasible", pa.string(), metadata=about), answers
    if result.verdict is not None and len(result.study.spec.objectives) > 1:
        front = set(result.verdict.front)
        marks = [row.point.number in front if row.side == POINT else None for row in result.rows]
        yield pa.field("front", pa.bool_(), metadata={"meaning": FRONT}), marks


def _axes(study: Study, rows: tuple[Row, ...]) -> Iterator[tuple[pa.Field, list[Any]]]:
    """A column for each axis: numbers where all of its labels are numbers, else text."""
    for index, name in enumerate(study.axes):
        labels = [row.point.labels[index] for row in rows]
        kinds = {type(label) for label in labels}
        kind = pa.string()
        if kinds <= {int, float}:
            kind = pa.int64() if kinds == {int} else pa.float64()
        else:
            labels = [str(label) for label in labels]
        yield pa.field(name, kind, metadata={"meaning": "label of the axis"}), labels


def _metrics(study: Study, rows: tuple[Row, ...]) -> Iterator[tuple[pa.Field, list[Any]]]:
    names = dict.fromkeys((*study.metrics, *(line.metric for line in study.chances)))
    for name in names:
        found = [None if row.facts is None else row.facts.metrics.get(name) for row in rows]
        first = next((metric for metric in found if metric is not None), None)
        about = (
            {} if first is None else {"unit": first.unit, "meaning": first.definition.definition}
        )
        values = [None if metric is None else metric.value for metric in found]
        yield pa.field(name, pa.float64(), metadata=about), values


def _losses(rows: tuple[Row, ...]) -> Iterator[tuple[pa.Field, list[Any]]]:
    """For each workload its losses, and when the worst slices begin; null for baselines."""
    for workload in dict.fromkeys(name for row in rows for name in row.losses):
        for name in LOSSES:
            found = [row.losses.get(workload, {}).get(name) for row in rows]
            values = [None if loss is None else loss.value for loss in found]
            yield pa.field(f"{workload}.{name}", pa.float64(), metadata={"unit": ""}), values
            if name.endswith("_worst"):
                at = [None if loss is None else loss.at_s for loss in found]
                yield pa.field(f"{workload}.{name}_at_s", pa.float64(), metadata={"unit": "s"}), at
