"""What is collected of a scenario file: a test for each ``expect`` line, one for its baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.check.scenario import AnyScenario
from sim.engine.api import load_scenario
from sim.errors import RackplanError
from sim.pytest_plugin import setting
from sim.pytest_plugin.baseline import Baseline
from sim.results.expectations import ExpectationLike
from sim.spec.expect import BetterSpec
from sim.study.executor import Executor
from sim.study.expect import Bench, Decision, decide, decide_better
from sim.study.here import InThisProcess
from sim.study.judge import YES
from sim.study.local import LocalExecutor
from sim.study.looks import FIRST_LOOK
from sim.units import parse_quantity


def is_scenario(path: Path) -> bool:
    """Whether a YAML file states a scenario with something to expect: not a study, nor a part."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return True  # let the reading of it say what is wrong
    return isinstance(tree, dict) and tree.get("kind") != "study" and bool(tree.get("expect"))


class LineFailed(Exception):
    """A line is not met; the message is all there is to say."""


class ScenarioFile(pytest.File):
    """A scenario: one item for each of its lines."""

    def collect(self) -> Iterable[pytest.Item]:
        """The items; a file that is wrong fails as a whole, with every problem."""
        try:
            self.scenario = self.load()
            self.bench = _bench(self.config)
        except RackplanError as error:
            raise self.CollectError(str(error)) from None
        if not self.scenario.expectations and not self.scenario.comparisons:
            raise self.CollectError(
                f"{self.path}: nothing is expected: write lines such as "
                "'expect: [chat.ttft_p99 <= 2 s]'"
            )
        yield from self._items()

    def load(self, sets: Sequence[str] = ()) -> AnyScenario:
        """The scenario, with changes.

        Raises:
            ScenarioError: with every problem found.
        """
        outside = bool(self.config.getini("rackplan_allow_outside"))
        return load_scenario(self.path, sets=sets, allow_outside=outside)

    def _items(self) -> Iterator[pytest.Item]:
        for line in self.scenario.expectations:
            yield ExpectItem.from_parent(self, name=line.text, line=line)
        for pair in self.scenario.comparisons:
            yield BetterItem.from_parent(self, name=pair.text, line=pair)
        baseline = Baseline(self.path)
        if baseline.file.is_file() or self.config.getoption("--rackplan-update"):
            yield BaselineItem.from_parent(self, name="baseline", baseline=baseline)


def _bench(config: pytest.Config) -> Bench:
    """Where and how runs are made.

    Raises:
        RackplanError: an option that is no number of its kind.
    """
    jobs, most = (_whole(config, name) for name in ("rackplan_jobs", "rackplan_seeds"))
    if most < FIRST_LOOK:
        raise RackplanError(f"rackplan_seeds is {most}; a line needs {FIRST_LOOK} seeds at least")
    out = setting(config, "rackplan_out")
    cache = getattr(config, "cache", None)
    if out:
        folder = config.rootpath / out
    elif cache is not None:
        folder = Path(cache.mkdir("rackplan"))
    else:
        folder = config.rootpath / "runs"
    executor: Executor = InThisProcess() if jobs == 1 else LocalExecutor(jobs)
    return Bench(executor, folder, setting(config, "rackplan_engine"), most)


def _whole(config: pytest.Config, name: str) -> int:
    text = setting(config, name)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise RackplanError(f"{name} is a whole number from 1 on, not {text!r}")
    return int(text)


class _Item(pytest.Item):
    """One test of a scenario."""

    parent: ScenarioFile

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_marker("rackplan")
        # With xdist's --dist loadgroup, the lines of a file share their runs in one worker.
        if self.config.pluginmanager.has_plugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(name=str(self.path)))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file and the line's own text, for the head of a failure."""
        return self.path, None, f"{self.parent.scenario.name}: {self.name}"

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        """A line that is not met, or an input that is wrong, in its own words."""
        text = str(excinfo.value)
        if isinstance(excinfo.value, LineFailed):
            return text
        if isinstance(excinfo.value, RackplanError):  # of a variant it names only what was set
            return text if str(self.path) in text else f"{self.path}: {self.name}: {text}"
        return super().repr_failure(excinfo, style)

    def judge(self, decision: Decision) -> None:
        """Note the numbers for JUnit XML, and fail unless the line is met."""
        noted = ("metric", "value", "low", "high", "unit", "confidence", "seeds")
        for key in noted:
            self.user_properties.append((key, getattr(decision, key)))
        self.user_properties.append(("answer", decision.answer))
        self.user_properties.append(("results", " ".join(map(str, decision.folders))))
        if decision.answer != YES:
            raise LineFailed(f"{self.path.name}: {decision.message}")


class ExpectItem(_Item):
    """``metric operator quantity``."""

    def __init__(self, *, line: ExpectationLike, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line = line

    def runtest(self) -> None:
        """Run seeds until the line is decided."""
        self.judge(decide(self.line, self.parent.scenario, self.parent.bench))


class BetterItem(_Item):
    """``better:`` of two variants."""

    def __init__(self, *, line: BetterSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line = line

    def runtest(self) -> None:
        """Run both variants until one is shown to be better."""
        first, second = (self.parent.load(sets) for sets in (self.line.first, self.line.second))
        self.judge(decide_better(self.line, (first, second), self.parent.bench))


class BaselineItem(_Item):
    """The metrics of the scenario against those that were recorded."""

    def __init__(self, *, baseline: Baseline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.baseline = baseline

    def runtest(self) -> None:
        """Write the baseline, or compare with it."""
        parent = self.parent
        tolerance = parse_quantity(setting(self.config, "rackplan_tolerance"), "fraction")
        if self.config.getoption("--rackplan-update"):
            self.baseline.write(parent.scenario, parent.bench)
            return
        moved = self.baseline.moved(parent.scenario, parent.bench, tolerance)
        if moved:
            raise LineFailed("\n".join(moved))
