"""``freeze``: a sink that took all rows of a run becomes its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.errors import ResultError
from sim.results.expectations import evaluate
from sim.results.manifest import manifest_of
from sim.results.measure import measure
from sim.results.result import RunResult, metrics_json
from sim.results.sink import Sink, Store


def freeze(sink: Sink, manifest_parts: Mapping[str, Any]) -> RunResult:
    """Close ``sink``, measure, judge the expectations and make the result final.

    After ``sink.abort(reason)`` the result is partial (its folder ends in ``.partial``), or, if
    no request had arrived, nothing is left on disk and the result has no folder.

    Args:
        sink: a ``Store`` that took the run's rows, normally a ``Summariser``.
        manifest_parts: of ``sim.results.manifest.manifest_parts``.

    Raises:
        ResultError: the sink cannot give its tables back, or the folder cannot be written.
    """
    if not isinstance(sink, Store):
        raise ResultError(
            f"{type(sink).__name__} cannot give its tables back, so it makes no result; "
            "a sink needs the methods of sim.results.sink.Store (or derive it from MemorySink)"
        )
    tables = sink.close(float(manifest_parts["simulated_s"]))
    rows = tables.rows
    partial = sink.aborted is not None

    def manifest(outcomes: Any) -> dict[str, Any]:
        return manifest_of(manifest_parts, aborted=sink.aborted, tables=rows, expectations=outcomes)

    metrics = measure(RunResult(tables, manifest([])))
    final = manifest(evaluate(manifest_parts["expectations"], metrics, partial=partial))
    if partial and not rows.get("summary/counts"):
        sink.discard()
        return RunResult(sink.tables(), {**final, "tables": {}}, metrics=metrics)
    folder = sink.publish(final, metrics_json(metrics))
    return RunResult(sink.tables(), final, folder=folder, metrics=metrics)
