"""``RunResult``: what a run left, from memory or from a folder; one immutable object."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sim.errors import ResultError, UnknownName
from sim.results.folders import MANIFEST, METRICS, PARTIAL
from sim.results.kind import is_placement, power_nodes
from sim.results.manifest import FORMAT
from sim.results.measure import measure
from sim.results.metrics import Metric, lookup
from sim.results.parquet import ParquetSink
from sim.results.placement_metrics import lookup_placement
from sim.results.placement_tables import EVERY_TABLE
from sim.results.stored import Tables, in_folder

#: The ``kind`` in the manifest of metrics over several seeds; one run's has none.
SEVERAL_SEEDS = "seeds"
#: The same of a study of many points.
STUDY = "study"
#: The same of metrics with the intervals of the calibration.
CALIBRATIONS = "calibrations"
#: The same of the answer of a plan, and of a comparison with measurements.
PLAN, VALIDATION = "plan", "validation"
#: Larger files are not read: a manifest is small, so one that is not was not written by a run.
MAX_JSON_BYTES = 32 * 2**20


class RunResult:
    """Tables, metrics and manifest of one run.

    Attributes are read-only. ``metrics`` are computed when first asked for, unless they were
    written with the run.
    """

    def __init__(
        self,
        tables: Tables,
        manifest: Mapping[str, Any],
        *,
        folder: Path | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self._tables = tables
        self._manifest = MappingProxyType(dict(manifest))
        self._folder = folder
        self._metrics = None if metrics is None else MappingProxyType(dict(metrics))

    @property
    def tables(self) -> Tables:
        """Name → ``pyarrow.Table``; units and meanings are in the field metadata."""
        return self._tables

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Where the result came from and how it was measured (``manifest.json``)."""
        return self._manifest

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Full name (``chat.ttft_p99``) → metric."""
        if self._metrics is None:
            self._metrics = MappingProxyType(measure(self))
        return self._metrics

    @property
    def outcome(self) -> str:
        """ "complete" or "partial"."""
        return str(self._manifest["outcome"])

    @property
    def folder(self) -> Path | None:
        """The folder it was read from or written to; None in memory."""
        return self._folder

    @property
    def name(self) -> str:
        """The folder's name, or scenario and seed in memory."""
        if self._folder is not None:
            return self._folder.name
        return f"{self._manifest['scenario']}-s{self._manifest['seed']}"

    def save(self, folder: Path | str) -> Path:
        """Write it as a run folder (the same bytes as a run into that folder); the folder.

        A partial result's folder gets the ending ``.partial``.

        Raises:
            ResultError: the folder exists and is no result of a run, or cannot be written.
        """
        metrics = metrics_json(self.metrics)
        sink = ParquetSink(Path(folder))
        try:
            for name in self._tables:
                for piece in self._tables.pieces(name, None):
                    sink.write(name, dict(zip(piece.schema.names, piece.columns, strict=True)))
            if self.outcome == "partial":
                sink.abort(str(self._manifest["reason"]))
            sink.close(float(self._manifest.get("simulated_s", 0.0)))  # a placement has no time
            return sink.publish(dict(self._manifest), metrics)
        except BaseException:
            sink.discard()
            raise

    def __repr__(self) -> str:
        return f"<RunResult {self.name}: {self.outcome}, {len(self._tables)} tables>"


_CALIBRATION = ("calibration_low", "calibration_high")


def metrics_json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    content: dict[str, Any] = {}
    for name, metric in metrics.items():
        entry: dict[str, Any] = {"value": metric.value, "unit": metric.unit}
        if metric.reason:
            entry["reason"] = metric.reason
        if metric.relative_error:
            entry["relative_error"] = metric.relative_error
        if metric.seeds is not None:
            entry |= {"low": metric.low, "high": metric.high, "seeds": metric.seeds}
        if metric.calibration_low is not None:
            entry |= {key: getattr(metric, key) for key in _CALIBRATION}
        content[name] = entry
    return content


def open_run(folder: Path | str) -> RunResult:
    """Read a run folder; tables are read when asked for.

    Raises:
        ResultError: there is no such folder, it is not (or not wholly) the result of a run, it was
            written in another format, or its files are not what a run writes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        half = folder.with_name(f".{folder.name}.old")
        partial = folder.with_name(folder.name + PARTIAL)
        hint = ""
        if half.is_dir():
            hint = f"; a run that replaced it was killed, its older result is in {half}"
        elif partial.is_dir():
            hint = f" (a partial one is in {partial})"
        raise ResultError(f"there is no run folder {folder}{hint}")
    if not (folder / MANIFEST).exists():
        raise ResultError(
            f"{folder} has no {MANIFEST}: it is not the result of a run, or that run was killed"
        )
    manifest = read_json(folder / MANIFEST)
    _check_manifest(folder, manifest)
    run = RunResult(in_folder(folder, manifest["tables"]), manifest, folder=folder)
    if not (folder / METRICS).exists() and not is_placement(manifest):
        return run
    content = read_json(folder / METRICS)
    metrics = metrics_from_json(content, folder / METRICS, manifest, power_nodes(run))
    return RunResult(run.tables, manifest, folder=folder, metrics=metrics)


def read_json(file: Path) -> Any:
    """The content of a JSON file in a results folder; all of its numbers are finite.

    Raises:
        ResultError: it is no file of its own, too large, or no JSON.
    """
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ResultError(f"{file} is not a file of its own (links are not followed)")
        if status.st_size > MAX_JSON_BYTES:
            raise ResultError(
                f"{file} has {status.st_size:,} bytes; a run writes less than {MAX_JSON_BYTES:,}"
            )
        return json.loads(
            file.read_bytes(), parse_float=_finite, parse_int=_whole, parse_constant=_finite
        )
    except OSError as error:
        raise ResultError(f"{file} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ResultError(f"{file} is nested too deeply to be written by a run") from error
    except ValueError as error:
        raise ResultError(f"{file} is not JSON: {error}") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {text:.20}, which no run measures")
    return number


def _whole(text: str) -> int:
    _finite(text)  # what is made a fraction of must fit into one
    return int(text)


#: What a manifest must have for the rest of the code to rely on it: key → type.
_SHAPE: Mapping[str, type | tuple[type, ...]] = {
    "outcome": str,
    "scenario": str,
    "seed": int,
    "engine": str,
    "workloads": list,
    "pools": list,
    "warnings": list,
    "expectations": list,
    "definitions": dict,
    "versions": dict,
    "tables": dict,
    "resolved": dict,
}
_OF_SERVING: Mapping[str, type | tuple[type, ...]] = {
    "simulated_s": (int, float), "record": str, "window": dict, "power": dict, "site": dict,
}  # fmt: skip
_OF_PLACEMENT: Mapping[str, type | tuple[type, ...]] = {"nodes": dict, "pods": dict}


def _check_manifest(folder: Path, manifest: Any) -> None:
    file = folder / MANIFEST
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ResultError(f"{file} is not the manifest of a run (it has no 'format')")
    if manifest.get("kind") == SEVERAL_SEEDS:
        raise ResultError(
            f"{folder} holds the metrics over several seeds; each seed's run is in a folder of its "
            "own beside it"
        )
    if manifest.get("kind") == STUDY:
        raise ResultError(
            f"{folder} holds a study: its rows are in study.parquet, what they say in study.json, "
            "and each run is in a folder of its own beside it"
        )
    if manifest.get("kind") == CALIBRATIONS:
        raise ResultError(
            f"{folder} holds metrics with the intervals of their calibration; each sample's run is "
            "in a folder of its own beside it"
        )
    if manifest.get("kind") == PLAN:
        raise ResultError(
            f"{folder} holds the answer of a plan, in answer.json; each run that it rests on is in "
            "a folder of its own beside it, and rackplan dashboard shows it under Capacity"
        )
    if manifest.get("kind") == VALIDATION:
        raise ResultError(
            f"{folder} holds predictions beside measurements, in report.md and serving.csv; "
            "rackplan dashboard shows them under Validity"
        )
    if manifest["format"] != FORMAT:
        wrote = manifest.get("versions")
        by = f" (rackplan {wrote.get('rackplan')})" if isinstance(wrote, dict) else ""
        raise ResultError(
            f"{folder} was written in format {manifest['format']!r}{by}; this rackplan reads "
            f"format {FORMAT}: run the scenario again"
        )
    placed = is_placement(manifest)
    for key, kind in {**_SHAPE, **(_OF_PLACEMENT if placed else _OF_SERVING)}.items():
        if not isinstance(manifest.get(key), kind) or isinstance(manifest.get(key), bool):
            raise ResultError(f"{file} is damaged: {key!r} is missing or not what a run writes")
    if manifest["seed"] < 0:
        raise ResultError(f"{file} is damaged: 'seed' is below 0")
    for key in () if placed else ("warm_up_s", "duration_s", "measured_s"):
        if not isinstance(manifest["window"].get(key), (int, float)):
            raise ResultError(f"{file} is damaged: 'window.{key}' is missing or not a number")
    for key in ("workloads", "pools"):
        for entry in manifest[key]:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise ResultError(f"{file} is damaged: an entry of {key!r} has no name")
    for name, rows in manifest["tables"].items():
        whole = isinstance(rows, int) and not isinstance(rows, bool)
        if name not in EVERY_TABLE or not whole or rows < 0:
            raise ResultError(f"{file} is damaged: table {name!r} with {rows!r} rows")


def metrics_from_json(
    content: Any, file: Path, manifest: Mapping[str, Any], nodes: Sequence[str]
) -> dict[str, Metric]:
    """Metrics from what ``metrics_json`` made of them; ``file`` is where, for messages.

    ``nodes``: names of the power nodes.

    Raises:
        ResultError: a name that the run's entities do not have, or an entry that no run writes.
    """
    if not isinstance(content, dict):
        raise ResultError(f"{file} is damaged: it is not an object")
    workloads = [workload["name"] for workload in manifest["workloads"]]
    pools = [pool["name"] for pool in manifest["pools"]]
    metrics = {}
    for name, entry in content.items():
        try:
            if is_placement(manifest):
                definition = lookup_placement(name)
            else:
                definition = lookup(name, workloads=workloads, pools=pools, power_nodes=nodes)
            metric = Metric(
                entry["value"],
                definition.unit,
                definition,
                entry.get("reason", ""),
                entry.get("relative_error", 0.0),
                *(entry.get(key) for key in ("low", "high", "seeds", *_CALIBRATION)),
            )
            if entry["unit"] != definition.unit or not _sound(metric):
                raise ValueError(f"{entry!r}")
        except (UnknownName, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ResultError(f"{file} is damaged at {name!r}: {error}") from error
        metrics[name] = metric
    return metrics


def _sound(metric: Metric) -> bool:
    optional = (metric.value, metric.low, metric.high, metric.seeds,
                metric.calibration_low, metric.calibration_high)  # fmt: skip
    numbers = [metric.relative_error, *(number for number in optional if number is not None)]
    return isinstance(metric.reason, str) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers
    )
