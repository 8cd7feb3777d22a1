"""Baselines: metrics of a scenario as they were, in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.check.scenario import AnyScenario, Scenario
from sim.errors import RackplanError
from sim.results.metrics import Metric
from sim.results.placement_metrics import PLACEMENT_METRICS
from sim.results.wording import percent, quantity
from sim.study.compare import headline_metrics
from sim.study.expect import Bench
from sim.study.looks import FIRST_LOOK

VERSION = 1
_UPDATE = "run pytest with --rackplan-update to record it anew"


@dataclass(frozen=True)
class Baseline:
    """The baseline of one scenario file."""

    scenario_file: Path

    @property
    def file(self) -> Path:
        """``chat.rackplan.yaml`` → ``chat.rackplan.baseline.json``."""
        return self.scenario_file.with_suffix(".baseline.json")

    def write(self, scenario: AnyScenario, bench: Bench) -> None:
        """Record the metrics that the lines name and the headline ones, over the first seeds.

        Raises:
            RackplanError: a seed failed, or the file cannot be written.
        """
        metrics = _measured(scenario, bench)
        tree = {
            "version": VERSION,
            "seeds": [scenario.seed, scenario.seed + FIRST_LOOK - 1],
            "metrics": {
                name: {"value": metric.value, "unit": metric.unit}
                for name, metric in metrics.items()
            },
        }
        try:
            self.file.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RackplanError(f"cannot write {self.file}: {error.strerror}") from error

    def moved(self, scenario: AnyScenario, bench: Bench, tolerance: float) -> list[str]:
        """What is further than ``tolerance`` from the baseline, in sentences; empty if nothing.

        Raises:
            RackplanError: the file is no baseline, or a seed failed.
        """
        tree = self._read()
        seeds = [scenario.seed, scenario.seed + FIRST_LOOK - 1]
        if tree["seeds"] != seeds:
            raise RackplanError(
                f"{self.file} was recorded over seeds {tree['seeds']}, not {seeds}: {_UPDATE}"
            )
        metrics = _measured(scenario, bench)
        lines = [
            line
            for name, entry in tree["metrics"].items()
            if (line := _moved(name, entry, metrics.get(name), tolerance))
        ]
        if not lines:
            return []
        head = f"{len(lines)} of {len(tree['metrics'])} metrics moved by more than "
        return [
            f"{head}{percent(tolerance)} from {self.file.name} (if that is meant, {_UPDATE}):",
            *lines,
        ]

    def _read(self) -> dict[str, Any]:
        try:
            tree = json.loads(self.file.read_text(encoding="utf-8"))
            if tree["version"] != VERSION:
                raise RackplanError(
                    f"{self.file} is of version {tree['version']}, this rackplan reads {VERSION}: "
                    f"{_UPDATE}"
                )
            if not all({"value", "unit"} <= set(entry) for entry in tree["metrics"].values()):
                raise KeyError("value or unit")
        except OSError as error:
            raise RackplanError(f"{self.file} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RackplanError(f"{self.file} is no baseline ({error}): {_UPDATE}") from None
        assert isinstance(tree, dict)
        return tree


def _measured(scenario: AnyScenario, bench: Bench) -> dict[str, Metric]:
    """Metrics over the first seeds."""
    result = bench.runs(scenario, range(scenario.seed, scenario.seed + FIRST_LOOK))
    if result.manifest["failed"]:
        first = result.manifest["failed"][0]
        raise RackplanError(f"seed {first['seed']} failed: {first['reason']}")
    headline: Iterable[str] = PLACEMENT_METRICS
    if isinstance(scenario, Scenario):
        headline = headline_metrics([workload.name for workload in scenario.workloads])
    named = [line.metric for line in scenario.expectations]
    named += [pair.metric for pair in scenario.comparisons]
    names = dict.fromkeys([*named, *headline])
    return {name: result.metrics[name] for name in names if name in result.metrics}


def _moved(
    name: str, entry: Mapping[str, Any], metric: Metric | None, tolerance: float
) -> str | None:
    """What became of one metric, if it moved."""
    before = entry["value"]
    after = None if metric is None else metric.value
    if before is None or after is None:
        if before == after:
            return None
        return f"  {name}: was {before}, is {after} {entry['unit']}".rstrip()
    if abs(after - before) <= tolerance * abs(before):
        return None
    assert metric is not None
    dimension = metric.definition.dimension
    was, now = (quantity(value, metric.unit, dimension) for value in (before, after))
    change = f", {percent(after / before - 1.0)} more" if before and after > before else ""
    change = f", {percent(1.0 - after / before)} less" if before and after < before else change
    return f"  {name}: was {was}, is {now}{change}"
