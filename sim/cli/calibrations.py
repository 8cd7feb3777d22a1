"""``rackplan run --uncertainty N``: the samples of the calibration and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sim.cli.seeds_bar import seeds_bar
from sim.cli.several import FAILED, How, executor_of, stopped
from sim.errors import RackplanError

if TYPE_CHECKING:
    from sim.check.scenario import AnyScenario, Scenario
    from sim.results.metrics import Metric
    from sim.results.result import RunResult
    from sim.study.calibrations import CalibrationResult
    from sim.study.result import SeedsResult


def load_samples(
    scenario: AnyScenario, count: int | None, file: str, sets: Sequence[str], allow_outside: bool
) -> dict[int, Scenario]:
    """Sample → the scenario with it; empty if no ``count`` is asked for.

    Raises:
        RackplanError: the scenario has a sample of its own already, or nothing to sample.
    """
    from sim.check.scenario import serving
    from sim.engine.api import load_scenario

    if count is None:
        return {}
    served = serving(scenario, "--uncertainty")
    own = served.calibration.sample
    if own:
        raise RackplanError(
            f"{file}: --uncertainty draws the samples itself: leave calibration.sample at 0, not "
            f"{own}"
        )
    if not any(pool.predicted for pool in served.pools):
        raise RackplanError(
            f"{file}: --uncertainty has nothing to draw: the steps of all pools are measured"
        )
    return {
        n: serving(
            load_scenario(
                file, sets=[*sets, f"calibration.sample={n}"], allow_outside=allow_outside
            ),
            "--uncertainty",
        )
        for n in range(1, count + 1)
    }


def samples_exit_code(ranges: CalibrationResult | None, code: int) -> int:
    """``code``, that of the runs as fitted; ``FAILED`` if a sample failed."""
    return FAILED if ranges is not None and ranges.manifest["failed"] else code


def run_samples(
    samples: Mapping[int, Scenario],
    result: RunResult | SeedsResult,
    reference: Mapping[str, Metric] | None,
    seed: int,
    how: How,
) -> CalibrationResult | None:
    """Run the samples; progress and messages go to standard error.

    Args:
        samples: of ``load_samples``; None comes back if there are none.
        result: under the fitted calibration.
        reference: its metrics under ``seed`` alone; None if that seed failed.
        seed: of every sample.
        how: they are run.

    Raises:
        typer.Exit: Ctrl-C.
        TooFewSamples: of those that came to their end, or there is nothing to put beside them.
    """
    from sim.study.calibrations import TooFewSamples, run_calibrations

    if not samples:
        return None
    if reference is None or result.folder is None:
        raise TooFewSamples(f"seed {seed} failed, so samples under it have nothing to stand beside")
    numbers = {f"sample {sample}": sample for sample in samples}
    with (
        stopped("samples"),
        seeds_bar(result.folder.name, len(samples), "samples") as bar,
        executor_of(
            how,
            notice=bar.notice,
            progress=lambda task, share: bar.running(numbers[task.name], share),
        ) as executor,
    ):
        return run_calibrations(
            samples, result.metrics, reference, executor, name=result.folder.name, seed=seed,
            out=how.place, engine=how.engine, fresh=how.fresh, notice=bar.notice, ended=bar.ended,
        )  # fmt: skip
