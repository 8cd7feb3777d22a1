"""Several seeds of one scenario: run what is not there yet, then say what they say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sim.check.scenario import AnyScenario, Scenario
from sim.engine.first_compile import prepare
from sim.errors import RackplanError
from sim.results.expected import outside_lengths
from sim.results.folders import run_folder_name
from sim.results.kind import is_placement, power_nodes
from sim.results.result import RunResult, open_run
from sim.results.verdict import verdict
from sim.study.across import across
from sim.study.executor import Executor
from sim.study.judge import judge
from sim.study.naming import seeds_folder_name, seeds_in_words
from sim.study.result import DEFINITIONS, SeedsResult, save
from sim.study.runs import Run, RunEnd, execute, those_there


class NoSeedFinished(RackplanError):
    """Not one seed of a study came to its end; ``input_wrong`` if the scenario is to blame."""

    def __init__(self, message: str, input_wrong: bool) -> None:
        self.input_wrong = input_wrong
        super().__init__(message)


def run_seeds(
    scenario: AnyScenario,
    seeds: Sequence[int],
    executor: Executor,
    *,
    out: Path,
    engine: str,
    fresh: bool = False,
    notice: Callable[[str], None] = lambda text: None,
    ended: Callable[[int, bool], None] = lambda seed, ran: None,
) -> SeedsResult:
    """Run a scenario under every seed and combine the metrics.

    Each run is in ``out/<scenario>-<hash8>-s<seed>``, as a single run's would be; a run that is
    already there, made by this version from the same scenario and inputs, is taken as it is. What
    comes out depends on the scenario and the seeds only, not on the executor.

    Args:
        scenario: from ``load_scenario``.
        seeds: different whole numbers from 0.
        executor: runs them.
        out: where the folders are made.
        engine: which serving plane.
        fresh: run every seed, also those that are there.
        notice: takes lines for the user: what is taken as it is, which seed failed and why.
        ended: takes (seed, whether it ran just now) as soon as its results are there.

    Raises:
        NoSeedFinished: not one of them.
        ResultError: a folder is in the way, or cannot be written.
        KeyboardInterrupt: Ctrl-C; runs that had finished stay, so that the same call goes on.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"a study needs different seeds, not {list(seeds)}")
    name, resolved = scenario.name, scenario.resolved
    folders = {seed: out / run_folder_name(name, resolved, seed) for seed in sorted(seeds)}
    runs = {
        seed: Run(f"seed {seed}", scenario, seed, engine, folder)
        for seed, folder in folders.items()
    }
    found = set() if fresh else those_there(list(runs.values()))
    there = {seed for seed, run in runs.items() if run.name in found}
    if there:
        notice(f"{seeds_in_words(there)}: already in {out}, taken as found")
    for seed in there:
        ended(seed, False)
    todo = [run for seed, run in runs.items() if seed not in there]
    if todo and isinstance(scenario, Scenario):
        prepare(engine, notice)  # here, so that workers need not wait for each other
    ends = {seed: RunEnd(folders[seed]) for seed in there}
    with closing(execute(todo, executor)) as outcomes:
        for run, end in outcomes:
            ends[run.seed] = end
            ended(run.seed, True)
            if end.folder is None:
                notice(f"{run.name} failed: {end.message}")
    return _together(scenario, {seed: ends[seed] for seed in folders}, out)


def _together(scenario: AnyScenario, ends: Mapping[int, RunEnd], out: Path) -> SeedsResult:
    """Combine the runs that finished, and write what they say together."""
    runs = {seed: open_run(end.folder) for seed, end in ends.items() if end.folder is not None}
    failed = {seed: end.message for seed, end in ends.items() if end.folder is None}
    if not runs:
        text = "; ".join(dict.fromkeys(message.partition("\n")[0] for message in failed.values()))
        input_wrong = all(end.input_wrong for end in ends.values())
        raise NoSeedFinished(f"no seed finished: {text}", input_wrong)
    by_seed = {seed: result.metrics for seed, result in runs.items()}
    metrics = across(by_seed)
    judged = judge(scenario.expectations, metrics, len(runs), len(failed))
    manifest = {**_manifest(runs, failed), "expectations": judged}
    target = out / seeds_folder_name(scenario.name, scenario.resolved, ends)
    return save(target, manifest, metrics, by_seed)


def _manifest(runs: Mapping[int, RunResult], failed: Mapping[int, str]) -> dict[str, Any]:
    """What the runs have in common, and which there are."""
    first = next(iter(runs.values())).manifest
    common = ("scenario", "engine", "record", "window", "workloads", "pools", "calibration", "site",
              "power", "nodes", "pods", "versions", "inputs", "sources", "resolved")  # fmt: skip
    warnings = dict.fromkeys(text for run in runs.values() for text in run.manifest["warnings"])
    count = len(runs) + len(failed)
    return {
        "outcome": "partial" if failed else "complete",
        "reason": f"{len(failed)} of {count} seeds failed" if failed else None,
        "seeds": len(runs),
        "finished": list(runs),
        "failed": [{"seed": seed, "reason": text} for seed, text in failed.items()],
        "runs": {seed: run.name for seed, run in runs.items()},
        **{key: first[key] for key in common if key in first},
        "definitions": {**first["definitions"], **DEFINITIONS},
        "power_nodes": power_nodes(next(iter(runs.values()))),
        "binding": [] if is_placement(first) else binding_limits(runs),
        "outside_lengths": outside_lengths(next(iter(runs.values()))),
        "warnings": list(warnings),
    }


def binding_limits(runs: Mapping[int, RunResult]) -> list[dict[str, Any]]:
    """Which limit binds under how many seeds, the most frequent first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    count: Counter[tuple[str, str]] = Counter()
    for run in runs.values():
        judged = verdict(run)
        limit = judged.binding
        key = ("", "") if limit is None else (limit.kind, limit.entity)
        count[key] += 1
        label = "none" if limit is None else limit.label
        found.setdefault(
            key, {"kind": key[0], "entity": key[1], "label": label, "next_step": judged.next_step}
        )
    order = sorted(found, key=lambda key: (-count[key], key))
    return [{**found[key], "seeds": count[key]} for key in order]
