"""A scenario under other calibrations that the measurements allow: how far off its metrics may be.

The same seed is run again with draws 1, 2, … of the errors of the fits (``calibration.sample``,
see ``sim.perf.sampled``), so all that differs is speeds and draws. A metric's calibration interval
goes from the lowest of its sampled values to the highest. If the real errors are as those of the
held-out runs, the true value is one more draw from the same distribution, and lies within the range
of n others with probability (n − 1)/(n + 1), whatever the distribution (order statistics): that is
the ``share``. It says nothing of chance between seeds, which has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from sim.check.scenario import Expectation, Scenario
from sim.engine.first_compile import prepare
from sim.errors import RackplanError
from sim.results.expectations import OPERATORS
from sim.results.folders import METRICS, run_folder_name
from sim.results.limit import TOUCH
from sim.results.manifest import FORMAT, plain
from sim.results.metrics import Metric
from sim.results.result import CALIBRATIONS, metrics_from_json, open_run, read_json
from sim.results.wording import percent
from sim.study.across import limits
from sim.study.executor import Executor
from sim.study.result import columns_by_run, kind_of_folder, read_several, write_folder
from sim.study.runs import Run, RunEnd, execute, those_there

BY_SAMPLE = "by_sample.json"
#: Fewer say nothing: the range of three holds the true value as often as not.
LEAST_SAMPLES = 4

#: What a manifest must have for the rest of the code to rely on it: key → type.
_SHAPE: Mapping[str, type | tuple[type, ...]] = {
    "outcome": str, "scenario": str, "seed": int, "samples": list, "failed": list, "runs": dict,
    "workloads": list, "pools": list, "power_nodes": list, "holds": list,
}  # fmt: skip

DEFINITIONS: Mapping[str, str] = {
    "value": "under the fitted calibration, as without the option",
    "calibration_low, calibration_high": "lowest and highest value over the samples, all under the "
    "first seed, shifted to the value; the true value lies between them with the stated share if "
    "errors are as those of runs that the fits had not seen",
    "not sampled": "network, cooling, memory, steps that were measured",
}


class TooFewSamples(RackplanError):
    """The samples that came to their end are too few to say anything."""


@dataclass(frozen=True)
class Holds:
    """Under how many samples something holds.

    ``text``: of the expectation or objective; ``fitted``: whether it holds under the fitted values.
    """

    text: str
    metric: str
    held: int
    samples: int
    fitted: bool


@dataclass(frozen=True)
class CalibrationResult:
    """Metrics of a scenario with their calibration intervals."""

    manifest: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    by_sample: Mapping[int, Mapping[str, Metric]]
    folder: Path

    @property
    def share(self) -> float:
        """How often the true value is between the ends, if errors are as those of held-out runs."""
        return share(len(self.by_sample))


def share(samples: int) -> float:
    """Probability that one more draw lies within the range of so many."""
    return (samples - 1) / (samples + 1)


def run_calibrations(
    scenarios: Mapping[int, Scenario],
    fitted: Mapping[str, Metric],
    reference: Mapping[str, Metric],
    executor: Executor,
    *,
    name: str,
    seed: int,
    out: Path,
    engine: str,
    fresh: bool = False,
    notice: Callable[[str], None] = lambda text: None,
    ended: Callable[[int, bool], None] = lambda sample, ran: None,
) -> CalibrationResult:
    """Run every sample of a scenario and put intervals around its metrics.

    Args:
        scenarios: sample → the scenario with it; at least ``LEAST_SAMPLES``.
        fitted: metrics under the fitted calibration, of one seed or over several.
        reference: the same under ``seed`` alone.
        executor: runs them.
        name: of the results whose metrics are ``fitted``; the folder's is made of it.
        seed: of all samples.
        out: where the folders are made.
        engine: which serving plane.
        fresh: run every sample, also those that are there.
        notice: takes lines for the user.
        ended: takes (sample, whether it ran just now) as soon as its results are there.

    Raises:
        TooFewSamples: fewer than ``LEAST_SAMPLES`` came to their end; the message says why.
        ResultError: a folder is in the way, or cannot be written.
        KeyboardInterrupt: Ctrl-C; what had finished stays.
    """
    runs = {
        sample: Run(
            f"sample {sample}", scenario, seed, engine,
            out / run_folder_name(scenario.name, scenario.resolved, seed),
        )
        for sample, scenario in scenarios.items()
    }  # fmt: skip
    found = set() if fresh else those_there(list(runs.values()))
    there = {sample for sample, run in runs.items() if run.name in found}
    if there:
        notice(f"{len(there)} samples: already in {out}, taken as found")
    ends = {sample: RunEnd(runs[sample].folder) for sample in there}
    for sample in there:
        ended(sample, False)
    todo = {run.name: sample for sample, run in runs.items() if sample not in there}
    if todo:
        prepare(engine, notice)
    with closing(execute([runs[sample] for sample in todo.values()], executor)) as outcomes:
        for run, end in outcomes:
            ends[todo[run.name]] = end
            ended(todo[run.name], True)
            if end.folder is None:
                notice(f"{run.name} failed: {end.message}")
    first = next(iter(scenarios.values()))
    target = out / f"{name}-u{len(scenarios)}"
    return _together(first, {n: ends[n] for n in scenarios}, fitted, reference, seed, target)


def _together(
    scenario: Scenario,
    ends: Mapping[int, RunEnd],
    fitted: Mapping[str, Metric],
    reference: Mapping[str, Metric],
    seed: int,
    target: Path,
) -> CalibrationResult:
    """Intervals of the samples that finished, written to ``target``."""
    runs = {n: open_run(end.folder) for n, end in ends.items() if end.folder is not None}
    failed = {n: end.message for n, end in ends.items() if end.folder is None}
    if len(runs) < LEAST_SAMPLES:
        why = "; ".join(dict.fromkeys(text.partition("\n")[0] for text in failed.values()))
        raise TooFewSamples(
            f"{len(failed)} of {len(ends)} samples of the calibration failed, which leaves fewer "
            f"than {LEAST_SAMPLES}: {why}"
        )
    by_sample = {n: run.metrics for n, run in runs.items()}
    metrics = {
        name: with_interval(metric, reference.get(name), [m.get(name) for m in by_sample.values()])
        for name, metric in fitted.items()
    }
    first = next(iter(runs.values())).manifest
    nodes = next(iter(runs.values())).tables.select("power_nodes", ["name"])
    content = plain(
        {
            "format": FORMAT,
            "kind": CALIBRATIONS,
            "outcome": "partial" if failed else "complete",
            "scenario": scenario.name,
            "workloads": first["workloads"],
            "pools": first["pools"],
            "power_nodes": nodes.column("name").to_pylist(),
            "seed": seed,
            "samples": list(runs),
            "share": share(len(runs)),
            "failed": [{"sample": n, "reason": text} for n, text in failed.items()],
            "runs": {n: run.name for n, run in runs.items()},
            "drawn": {n: _drawn(run.manifest) for n, run in runs.items()},
            "holds": holds(scenario, reference, by_sample),
            "definitions": DEFINITIONS,
        }
    )
    assert isinstance(content, dict)
    folder = write_folder(target, content, metrics, BY_SAMPLE, by_sample)
    return CalibrationResult(content, metrics, by_sample, folder)


def _drawn(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Pool → GPU type → factors of a sample's run."""
    return {pool["name"]: pool["drawn"] for pool in manifest["pools"] if pool["drawn"]}


def with_interval(metric: Metric, reference: Metric | None, samples: list[Metric | None]) -> Metric:
    """A metric with the range of its samples about it; without, where some could not be measured.

    ``reference`` is the fitted value under the samples' seed: what differs between it and
    ``metric`` is chance, so the range moves by as much.
    """
    values = [s.value for s in samples if s is not None and s.value is not None]
    known = metric.value is not None and reference is not None and reference.value is not None
    if not known or len(values) < len(samples):
        return metric
    assert metric.value is not None
    assert reference is not None
    assert reference.value is not None
    shift = metric.value - reference.value
    floor, ceiling = limits(metric.definition)
    return replace(
        metric,
        calibration_low=min(max(min(values) + shift, floor), ceiling),
        calibration_high=min(max(max(values) + shift, floor), ceiling),
    )


def holds(
    scenario: Scenario,
    reference: Mapping[str, Metric],
    by_sample: Mapping[int, Mapping[str, Metric]],
) -> list[Holds]:
    """Each objective and expectation: under how many samples it holds."""
    least = 1.0 - TOUCH
    lines = {}
    for workload in scenario.workloads:
        if any(value is not None for value in astuple(workload.objectives)):
            metric = f"{workload.name}.goodput_fraction"
            text = f"{metric} >= {percent(least)}"
            lines[metric, ">=", least] = Expectation(text, metric, ">=", least)
    lines |= {(line.metric, line.operator, line.threshold): line for line in scenario.expectations}

    def met(line: Expectation, metrics: Mapping[str, Metric]) -> bool:
        metric = metrics.get(line.metric)
        value = None if metric is None else metric.si
        return value is not None and OPERATORS[line.operator](value, line.threshold)

    return [
        Holds(
            line.text, line.metric, sum(met(line, metrics) for metrics in by_sample.values()),
            len(by_sample), met(line, reference),
        )
        for line in lines.values()
    ]  # fmt: skip


def holds_calibrations(folder: Path) -> bool:
    """Whether a folder's manifest says that it is of the samples of a calibration.

    Raises:
        ResultError: the manifest cannot be read.
    """
    return kind_of_folder(folder) == CALIBRATIONS


def open_calibrations(folder: Path) -> CalibrationResult:
    """Read the folder of the samples of a calibration.

    Raises:
        ResultError: it is not one, or its files are not what ``run_calibrations`` writes.
    """
    manifest = read_several(folder, CALIBRATIONS, _SHAPE)
    nodes, file = manifest["power_nodes"], folder / BY_SAMPLE
    metrics = metrics_from_json(read_json(folder / METRICS), folder / METRICS, manifest, nodes)
    content = columns_by_run(read_json(file), manifest["samples"], file)
    by_sample = {
        n: metrics_from_json(entries, file, manifest, nodes) for n, entries in content.items()
    }
    return CalibrationResult(manifest, metrics, by_sample, folder)
