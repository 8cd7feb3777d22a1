"""The two sides of a comparison, and how their seeds go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import ResultError
from sim.results.kind import power_nodes
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.study.changes import changes
from sim.study.naming import seeds_in_words
from sim.study.result import SeedsResult

PAIRED, UNPAIRED, ONE_SEED = "paired", "unpaired", "one seed"


@dataclass(frozen=True)
class Side:
    """One of the two: its name for messages, its manifest, and its metrics under each seed.

    ``folders``: seed → the folder of its run, which may have been removed since.
    """

    name: str
    manifest: Mapping[str, Any]
    by_seed: Mapping[int, Mapping[str, Metric]]
    power_nodes: Sequence[str]
    folders: Mapping[int, Path] = field(default_factory=dict)

    @property
    def workloads(self) -> list[str]:
        """Names, in order."""
        return [workload["name"] for workload in self.manifest["workloads"]]


def side_of_run(name: str, run: RunResult) -> Side:
    """A single run.

    Raises:
        ResultError: it was stopped before its end.
    """
    if run.outcome != "complete":
        raise ResultError(
            f"{name} is not whole ({run.manifest['reason']}), so its numbers are not comparable"
        )
    seed = int(run.manifest["seed"])
    folders = {} if run.folder is None else {seed: run.folder}
    return Side(name, run.manifest, {seed: run.metrics}, power_nodes(run), folders)


def side_of_seeds(name: str, result: SeedsResult) -> Side:
    """Several seeds; those that failed are left out."""
    manifest = result.manifest
    runs = {int(seed): result.folder.parent / run for seed, run in manifest["runs"].items()}
    return Side(name, manifest, result.by_seed, manifest["power_nodes"], runs)


def pair(a: Side, b: Side) -> tuple[str, tuple[int, ...], list[str]]:
    """How the seeds of both sides go together, and what that means."""
    both = tuple(sorted(set(a.by_seed) & set(b.by_seed)))
    words = f"A has {seeds_in_words(a.by_seed)}, B has {seeds_in_words(b.by_seed)}"
    if len(both) >= 2:
        rest = len(a.by_seed) != len(both) or len(b.by_seed) != len(both)
        note = f"{words}: compared under those that both have, {seeds_in_words(both)}"
        return PAIRED, both, [note] if rest else []
    if min(len(a.by_seed), len(b.by_seed)) >= 2:
        note = (
            f"the seeds do not match ({words}), so nothing is paired: the intervals (Welch's t) "
            "hold the whole variation between seeds, and show less than pairs would"
        )
        return UNPAIRED, (), [note]
    what = "one seed each" if both and len(a.by_seed) == len(b.by_seed) == 1 else words
    note = (
        f"{what}: from one pair of runs nobody can tell a difference from chance, so there is no "
        "interval and no verdict; run both scenarios under the same several seeds (--seeds 8)"
    )
    return ONE_SEED, both, [note]


def notes_on(a: Side, b: Side) -> list[str]:
    """What makes the sides differ besides the scenarios, or makes the comparison empty."""
    notes = []
    for side, letter in ((a, "A"), (b, "B")):
        failed = [entry["seed"] for entry in side.manifest.get("failed", ())]
        if failed:
            notes.append(f"{letter} lacks {seeds_in_words(failed)}, which failed")
    for key, what in (("versions", "versions"), ("inputs", "input files")):
        found = [
            f"{change.path} {_short(change.a)} and {_short(change.b)}"
            for change in changes(a.manifest[key], b.manifest[key])
        ]
        if found:
            notes.append(f"A and B were made with different {what}, which may make differences of "
                         f"their own: {', '.join(found)}")  # fmt: skip
    if a.manifest["engine"] != b.manifest["engine"]:
        notes.append(f"A is of the {a.manifest['engine']} engine, B of the {b.manifest['engine']} "
                     "engine")  # fmt: skip
    lonely = [
        f"only {letter} has workload {name}"
        for letter, side, other in (("A", a, b), ("B", b, a))
        for name in side.workloads
        if name not in other.workloads
    ]
    return notes + lonely


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"
