"""``SeedsResult``: what several seeds of a scenario left, in memory and in its folder.

The folder stands beside those of the runs and holds everything that a comparison needs: a manifest,
``metrics.json`` (over the seeds, with intervals) and ``by_seed.json`` (of each seed).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import ResultError
from sim.results.folders import MANIFEST, METRICS, WorkFolder
from sim.results.kind import is_placement
from sim.results.manifest import FORMAT, plain
from sim.results.metrics import Metric
from sim.results.result import SEVERAL_SEEDS, metrics_from_json, metrics_json, read_json

BY_SEED = "by_seed.json"

#: How numbers over seeds were made, beside the definitions of a run.
DEFINITIONS: Mapping[str, str] = {
    "value": "mean over the seeds of each run's own value; of a quantile, the mean of the runs' "
    "quantiles",
    "interval": "95 %, for the mean over all seeds: Student's t over the seeds; a share of good "
    "requests never narrower than Clopper-Pearson over its requests, a number of losses or trips "
    "never narrower than Garwood's bounds, a quantile from bins wider by their error",
    "assumptions": "the number of seeds was chosen beforehand (looking again after every few seeds "
    "makes false answers three times as frequent), and the seeds' values are close to normal "
    "(near saturation they are not)",
    "answer": "yes if the whole interval meets the threshold, no if none of it does, else "
    "undecided, which fails an expectation",
}


@dataclass(frozen=True)
class SeedsResult:
    """Metrics over seeds, the metrics of each, and where they came from.

    Attributes:
        manifest: the content of ``manifest.json``.
        metrics: full name → metric with its interval.
        by_seed: seed → full name → metric of its run.
        folder: where it is written.
    """

    manifest: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    by_seed: Mapping[int, Mapping[str, Metric]]
    folder: Path

    @property
    def outcome(self) -> str:
        """ "complete", or "partial" if a seed failed."""
        return str(self.manifest["outcome"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that finished."""
        return tuple(self.by_seed)


def save(
    target: Path,
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    by_seed: Mapping[int, Mapping[str, Metric]],
) -> SeedsResult:
    """Write the folder, whole or not at all; a partial one gets the ending ``.partial``.

    Raises:
        ResultError: it exists and is no result, or cannot be written.
    """
    content = plain({**manifest, "format": FORMAT, "kind": SEVERAL_SEEDS})
    folder = write_folder(target, content, metrics, BY_SEED, by_seed)
    return SeedsResult(content, metrics, by_seed, folder)


def write_folder(
    target: Path,
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    by_file: str,
    by_run: Mapping[int, Mapping[str, Metric]],
) -> Path:
    """Write a folder of what several runs say together, ``by_file`` what each does; where it is.

    Raises:
        ResultError: it exists and is no result, or cannot be written.
    """
    parts = {by_file: _columns(by_run), METRICS: metrics_json(metrics), MANIFEST: manifest}
    work = WorkFolder(target)
    try:
        for name, part in parts.items():
            indent = None if name == by_file else 1
            text = json.dumps(part, indent=indent, ensure_ascii=False, allow_nan=False)
            (work.path / name).write_text(text + "\n", encoding="utf-8")
        return work.publish(partial=manifest["outcome"] == "partial")
    except BaseException:
        work.discard()
        raise


def _columns(by_seed: Mapping[int, Mapping[str, Metric]]) -> dict[str, Any]:
    """The content of ``by_seed.json``: for each metric what differs from seed to seed.

    A site has thousands of metrics, hence lists in the order of the seeds, and reasons once each.
    """
    content: dict[str, Any] = {}
    for name, first in next(iter(by_seed.values())).items():
        found = [metrics[name] for metrics in by_seed.values()]
        content[name] = {"unit": first.unit, "values": [metric.value for metric in found]}
        for key in ("reason", "relative_error"):
            values = [getattr(metric, key) for metric in found]
            if any(values):
                content[name][key] = values[0] if len(set(values)) == 1 else values
    return content


def columns_by_run(content: Any, seeds: list[int], file: Path) -> dict[int, dict[str, Any]]:
    """Seed (or sample) → the content of its run's ``metrics.json``.

    Raises:
        ResultError: it is not what ``_columns`` makes.
    """
    if not isinstance(content, dict):
        raise ResultError(f"{file} is damaged: it is not an object")
    by_seed: dict[int, dict[str, Any]] = {seed: {} for seed in seeds}
    for name, entry in content.items():
        entry = entry if isinstance(entry, dict) else {}
        columns: dict[str, Any] = {"value": entry.get("values")}
        for key in ("reason", "relative_error"):
            if key in entry:
                same = not isinstance(entry[key], list)
                columns[key] = [entry[key]] * len(seeds) if same else entry[key]
        if any(not isinstance(c, list) or len(c) != len(seeds) for c in columns.values()):
            raise ResultError(f"{file} is damaged at {name!r}: not one value for each seed")
        for index, seed in enumerate(seeds):
            values = {key: column[index] for key, column in columns.items()}
            by_seed[seed][name] = {"unit": entry.get("unit"), **values}
    return by_seed


def holds_several_seeds(folder: Path) -> bool:
    """Whether a folder's manifest says that it is of several seeds.

    Raises:
        ResultError: the manifest cannot be read.
    """
    return kind_of_folder(folder) == SEVERAL_SEEDS


def kind_of_folder(folder: Path) -> str | None:
    """The ``kind`` in a folder's manifest; None of a run's, or where there is none.

    Raises:
        ResultError: the manifest cannot be read.
    """
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_json(folder / MANIFEST)
    return str(manifest["kind"]) if isinstance(manifest, dict) and "kind" in manifest else None


def read_several(
    folder: Path, kind: str, shape: Mapping[str, type | tuple[type, ...]]
) -> dict[str, Any]:
    """The manifest of a folder of several runs.

    Raises:
        ResultError: it is of another kind or format, or lacks something of its shape.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        raise ResultError(f"{folder} does not hold metrics over several {kind}")
    if manifest.get("format") != FORMAT:
        raise ResultError(
            f"{folder} was written in format {manifest.get('format')!r}; this rackplan reads "
            f"format {FORMAT}: run the scenario again"
        )
    for key, type_ in shape.items():
        if not isinstance(manifest.get(key), type_):
            raise ResultError(f"{folder / MANIFEST} is damaged: {key!r} is missing or wrong")
    return manifest


#: What a manifest must have for the rest of the code to rely on it: key → type.
_SHAPE: Mapping[str, type | tuple[type, ...]] = {
    "outcome": str,
    "scenario": str,
    "finished": list,
    "failed": list,
    "runs": dict,
    "engine": str,
    "workloads": list,
    "pools": list,
    "power_nodes": list,
    "binding": list,
    "expectations": list,
    "warnings": list,
    "versions": dict,
    "inputs": dict,
    "resolved": dict,
}


_OF_SERVING: Mapping[str, type | tuple[type, ...]] = {"window": dict, "power": dict}


def open_seeds(folder: Path) -> SeedsResult:
    """Read the folder of several seeds.

    Raises:
        ResultError: it is not one, or its files are not what a study writes.
    """
    manifest = read_several(folder, SEVERAL_SEEDS, _SHAPE)
    if not is_placement(manifest):
        read_several(folder, SEVERAL_SEEDS, _OF_SERVING)
    nodes = manifest["power_nodes"]
    metrics = metrics_from_json(read_json(folder / METRICS), folder / METRICS, manifest, nodes)
    file = folder / BY_SEED
    content = columns_by_run(read_json(file), manifest["finished"], file)
    by_seed = {
        seed: metrics_from_json(entries, file, manifest, nodes) for seed, entries in content.items()
    }
    return SeedsResult(manifest, metrics, by_seed, folder)
