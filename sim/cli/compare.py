"""``rackplan compare``: two results or scenarios, metric by metric: is the difference real?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.several import STUCK_AFTER, Fresh, How, Jobs, Scheduler, StuckAfter, run_several

if TYPE_CHECKING:
    from sim.check.scenario import AnyScenario
    from sim.study.compare import Comparison
    from sim.study.sides import Side

#: How many seeds scenario files are run under unless told otherwise, or by the other side.
SEEDS = 8


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="run folder, or a scenario file to run")],
    b: Annotated[str, typer.Argument(metavar="B", help="the same; differences are B - A")],
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="look at this one: chat.ttft_p99 (repeat)"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="look at every metric")] = False,
    losses: Annotated[
        bool,
        typer.Option("--losses", help="also what B's workloads lose, over all and at their worst"),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="to run scenario files under (default: 8)"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="the first one (default: of A)")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="change a value in scenario files"),
    ] = None,
    sets_b: Annotated[
        list[str] | None,
        typer.Option("--set-b", metavar="PATH=VALUE", help="change a value in B only"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="where run folders are (made)")
    ] = Path("runs"),
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="to run scenario files (default: of the other side)"),
    ] = None,
    jobs: Jobs = None,
    fresh: Fresh = False,
    stuck_after: StuckAfter = STUCK_AFTER,
    scheduler: Scheduler = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of a scenario's folder")
    ] = False,
) -> None:
    """Say for each metric how B differs from A, and whether the difference is real.

    A and B are folders of a run or of several seeds (or names of folders in OUT), or scenario
    files, which are run first. Under the same seed both get the same requests, so differences are
    taken seed by seed. A difference is real if it stands Holm's correction for the number of
    metrics looked at, at 95 %. Exits with 2 if there is nothing to compare, 3 if no seed finished.
    """
    from sim.study.compare import compare as compare_sides

    runner = _Runner(seeds, seed, out, engine, jobs, fresh, stuck_after, scheduler)
    changes = (tuple(sets or ()), (*(sets or ()), *(sets_b or ())))
    first, second = runner.sides((a, b), changes, allow_outside)
    found = compare_sides(first, second, metrics, everything=everything, losses=losses)
    if as_json:
        print(json.dumps(comparison_as_dict(found), indent=2))
        return
    from sim.cli.compare_table import print_comparison
    from sim.cli.summary import console

    print_comparison(found, console())


@dataclass(frozen=True)
class _Runner:
    """Turns what the user named into sides; scenario files are run under the same seeds."""

    seeds: int | None
    seed: int | None
    out: Path
    engine: str | None
    jobs: int | None
    fresh: bool
    stuck_after: str
    scheduler: str | None

    def sides(
        self, names: Sequence[str], sets: Sequence[Sequence[str]], allow_outside: bool
    ) -> list[Side]:
        """Both sides; a result that is there says under which seeds a file is run.

        Raises:
            ResultError, ScenarioError: there is no such result or scenario, or it is not usable.
        """
        from sim.study.sides import Side

        found = [
            self._read(name, changes, allow_outside)
            for name, changes in zip(names, sets, strict=True)
        ]
        runner = self._with_seeds(found)
        return [
            side if isinstance(side, Side) else runner.run(name, side)
            for name, side in zip(names, found, strict=True)
        ]

    def _read(self, name: str, sets: Sequence[str], allow_outside: bool) -> Side | AnyScenario:
        """What a name stands for."""
        from sim.engine.api import load_scenario
        from sim.errors import ResultError

        folder = next((p for p in (Path(name), self.out / name) if p.is_dir()), None)
        if folder is None and not Path(name).is_file():
            raise ResultError(
                f"there is no run folder or scenario file {name} (nor {self.out / name})"
            )
        if folder is None:
            return load_scenario(name, sets=sets, allow_outside=allow_outside)
        if sets:
            raise ResultError(f"{name} is a result; --set changes scenario files only")
        return _open(name, folder)

    def _with_seeds(self, found: Sequence[Side | AnyScenario]) -> _Runner:
        """Seeds and engine of the side that is there, or else eight from the first file's on."""
        from sim.cli.run import ENGINE
        from sim.study.sides import Side

        there = [seed for side in found if isinstance(side, Side) for seed in side.by_seed]
        files = [side for side in found if not isinstance(side, Side)]
        seed, seeds = self.seed, self.seeds
        if seed is None:
            seed = min(there) if there else files[0].seed if files else 0
        if seeds is None:
            seeds = max(there) - seed + 1 if there and max(there) >= seed else SEEDS
        engines = [side.manifest["engine"] for side in found if isinstance(side, Side)]
        engine = self.engine or next(iter(engines), ENGINE)
        return replace(self, seed=seed, seeds=seeds, engine=engine)

    def run(self, name: str, scenario: AnyScenario) -> Side:
        """Run a scenario under the seeds."""
        from sim.study.sides import side_of_seeds

        assert self.seed is not None
        assert self.seeds is not None
        assert self.engine is not None
        how = How(self.jobs, self.out, self.engine, self.fresh, self.stuck_after, self.scheduler)
        result = run_several(scenario, range(self.seed, self.seed + self.seeds), how)
        return side_of_seeds(name, result)


def _open(name: str, folder: Path) -> Side:
    """A result that is there.

    Raises:
        ResultError: it is not the result of a run, or not whole.
    """
    from sim.results.result import open_run
    from sim.study.result import holds_several_seeds, open_seeds
    from sim.study.sides import side_of_run, side_of_seeds

    if holds_several_seeds(folder):
        return side_of_seeds(name, open_seeds(folder))
    return side_of_run(name, open_run(folder))


def comparison_as_dict(found: Comparison) -> dict[str, Any]:
    """The JSON form of a comparison."""
    return {
        "a": found.a.name,
        "b": found.b.name,
        "pairing": found.pairing,
        "seeds": list(found.seeds),
        "confidence": 0.95,
        "correction": "Holm",
        "looked_at": found.looked_at,
        "metrics": {
            line.name: {
                "unit": line.definition.unit,
                "better": line.definition.better,
                "a": line.a,
                "b": line.b,
                "difference": line.difference,
                "low": line.low,
                "high": line.high,
                "p": line.p,
                "p_holm": line.p_holm,
                "verdict": line.verdict,
                **({"reason": line.reason} if line.reason else {}),
            }
            for line in found.differences
        },
        **({"losses": _losses(found)} if found.losses else {}),
        "scenario": [
            {"path": change.path, "a": change.a, "b": change.b} for change in found.changes
        ],
        "notes": list(found.notes),
    }


def _losses(found: Comparison) -> dict[str, Any]:
    return {
        workload: {name: asdict(loss) for name, loss in losses.items()}
        for workload, losses in found.losses.items()
    }
