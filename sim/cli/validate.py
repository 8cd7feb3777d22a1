"""``rackplan validate``: measured kernels and serving runs against what rackplan says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.errors import RackplanError

if TYPE_CHECKING:
    from rich.console import Console

    from sim.validate.coverage import Coverage
    from sim.validate.kernels import Products
    from sim.validate.runs import Run
    from sim.validate.serving import Outcome, Score
    from sim.validate.timings import Found

_TABLES = """\
* serving_silicon_agg.csv, aic_gemm_*.csv, aic_attn_*.csv, aic_moe_*.csv, aic_collectives_*.csv:
  measured runs and kernels of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0)
* nccl_tests_*.csv: nccl-tests of public pages
* trtllm_perf_overview.csv: docs/source/developer-guide/perf-overview.md of NVIDIA/TensorRT-LLM
* inferencex_h200_isl_sweep.csv: SemiAnalysisAI/InferenceX
Or give runs of your own: --against my_runs.csv (columns: docs/validation.md)"""


def validate(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with measured tables, at any depth.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="CSV of serving runs of your own (docs/validation.md).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("validation"),
    every: Annotated[
        int, typer.Option(min=1, help="Simulate every n-th run only, for a quick look.")
    ] = 1,
    within: Annotated[
        float | None,
        typer.Option(help="Fail if the median TPOT or throughput error is above, such as 0.1."),
    ] = None,
    uncertainty: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=4,
            help="Also draw N samples from the errors: how many runs are within their range?",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the errors as JSON.")] = False,
) -> None:
    """Predict measured kernels and serving runs, and report how far off the predictions are.

    Writes report.md, serving.csv, kernels.csv (matrix products) and a CSV for each other kind of
    kernel; the dashboard shows such a folder beside runs, under Validity. What the shipped
    parameters were fitted to is marked, and kept apart from what they never saw.
    """
    from rich.console import Console

    from sim.validate.layers_report import write_layers
    from sim.validate.points import refuse_other_results, write_manifest
    from sim.validate.report import kind_of, report, write_products, write_rows
    from sim.validate.serving import score

    if folder is None and against is None:
        raise RackplanError(f"nothing to validate against: give a folder with tables\n{_TABLES}")
    refuse_other_results(out)
    runs, kernels, layers, unknown = _read(folder, against)
    notes = Console(stderr=True)
    if unknown:
        notes.print(f"skipped, no kernels or serving runs: {', '.join(unknown)}", highlight=False)
    outcomes = _outcomes(runs, every, notes)
    out.mkdir(parents=True, exist_ok=True)
    lacking = [
        f"**No {what} were given.**"
        for what, have in (("serving runs", runs), ("kernel tables", [*kernels, *layers.timings]))
        if not have
    ]
    if every > 1:
        lacking.append(f"**Only every {every}-th serving run was simulated.**")
    text = report(runs, outcomes, kernels, layers, " ".join(lacking))
    fair = [one for one in outcomes if not kind_of(one).endswith("in the fit")]
    inside: dict[str, Coverage] = {}
    if uncertainty is not None:
        more, inside = _ranges(fair, uncertainty, notes)
        text += more
    (out / "report.md").write_text(text, encoding="utf-8")
    write_rows(out / "serving.csv", outcomes)
    write_products(out / "kernels.csv", kernels)
    write_layers(out, layers.timings)
    write_manifest(out, list({run.file for run in runs}), every)
    kinds = {kind: score([o for o in outcomes if kind_of(o) == kind])
             for kind in sorted({kind_of(o) for o in outcomes})}  # fmt: skip
    _print(kinds, kernels, layers, inside, out, as_json)
    _judge(score(fair) if fair else None, within)


def _read(
    folder: Path | None, against: Path | None
) -> tuple[list[Run], list[Products], Found, list[str]]:
    """Runs, products, other kernels, and the files that are none of them.

    Raises:
        RackplanError: no such folder, or no table in it.
        DataError: a table with a wrong cell, or of kernels with columns of no known kind.
    """
    from sim.validate.kernels import is_products, products
    from sim.validate.layers import check_unknown, is_layers, layer_timings
    from sim.validate.runs import is_runs, read_runs
    from sim.validate.tables import columns_of
    from sim.validate.timings import Found

    runs: list[Run] = []
    kernels: list[Products] = []
    layers = Found()
    unknown: list[str] = []
    if folder is not None and not folder.is_dir():
        raise RackplanError(f"no folder {folder}; it should hold some of these tables:\n{_TABLES}")
    for path in sorted(folder.rglob("*.csv")) if folder is not None else ():
        columns = columns_of(path)
        if is_products(columns):
            kernels += products(path)
        elif is_runs(columns):
            runs += read_runs(path)
        elif is_layers(columns):
            found = layer_timings(path, columns)
            layers.timings += found.timings
            layers.skipped += found.skipped
        else:
            check_unknown(path, columns)
            unknown.append(path.name)
    if against is not None:
        runs += read_runs(against)
    if not (runs or kernels or layers.timings or layers.skipped):
        raise RackplanError(f"no known table in {folder}; it should hold some of:\n{_TABLES}")
    return runs, kernels, layers, unknown


def _outcomes(runs: list[Run], every: int, notes: Console) -> list[Outcome]:
    """Predictions of the runs that can be simulated, with a bar on a terminal."""
    from rich.progress import track

    from sim.validate.offline import offline_outcome
    from sim.validate.runs import stack_for
    from sim.validate.serving import Evaluator

    able = [run for run in runs if not run.not_simulated][::every]
    evaluator = Evaluator()

    def each() -> Iterator[Outcome]:
        for run in track(able, "simulating", console=notes, disable=not notes.is_terminal):
            if run.clients is None:
                yield offline_outcome(evaluator, run, stack_for(run))
            else:
                yield evaluator.outcome(run, stack_for(run))

    return list(each())


def _ranges(fair: list[Outcome], samples: int, notes: Console) -> tuple[str, dict[str, Coverage]]:
    """The section of the report on samples from the errors, and its rows."""
    from rich.progress import track

    from sim.validate.coverage import by_group, coverage, coverage_section, ranges
    from sim.validate.report import kind_of

    found = ranges(
        fair, samples,
        lambda each: track(each, "sampling", console=notes, disable=not notes.is_terminal,
                           total=samples),
    )  # fmt: skip
    rows = {name: coverage(part, samples) for name, part in by_group(found, kind_of).items()}
    return "\n".join(["", *coverage_section(rows, samples)]) + "\n", rows


def _print(
    kinds: dict[str, Score],
    kernels: list[Products],
    layers: Found,
    inside: dict[str, Coverage],
    out: Path,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    import numpy as np

    from sim.validate.layers_report import layers_lines, layers_tree

    products = {
        f"{one.gpu} {one.dtype} ({one.file})": float(np.mean(abs(one.errors))) for one in kernels
    }
    if as_json:
        tree = {"serving": {kind: asdict(s) for kind, s in kinds.items()}, "products": products,
                "kernels": layers_tree(layers.timings)}  # fmt: skip
        if inside:
            tree["ranges"] = {name: asdict(rows) for name, rows in inside.items()}
        print(json.dumps(tree, indent=2))
        return
    for kind, s in kinds.items():
        shares = ", ".join(
            f"{name} {100 * s.median[name]:.1f} % (P90 {100 * s.p90[name]:.0f} %)"
            for name in s.median
        )
        tau = "" if s.tau is None else f", rank correlation {s.tau:.3f}"
        print(f"{kind}: {s.runs} runs, median errors {shares or 'none'}{tau}")
    for name, rows in inside.items():
        shares = ", ".join(f"{metric} {100 * share:.0f} %" for metric, share in rows.inside.items())
        print(f"within their range of samples ({100 * rows.nominal:.0f} % should be), {name}: "
              f"{rows.runs} runs, {shares or 'none'}")  # fmt: skip
    for name, error in products.items():
        print(f"products, {name}: mean error {100 * error:.1f} %")
    for line in layers_lines(layers.timings):
        print(line)
    print(f"Report: {out / 'report.md'}")


def _judge(s: Score | None, within: float | None) -> None:
    """Exit 1 if a median is above the limit, or nothing says that it is not."""
    if within is None:
        return
    if s is None or not s.runs:
        raise RackplanError("--within has nothing to judge: no run that the fit did not see")
    for name in ("tpot", "throughput"):
        if s.median.get(name, 0.0) > within:
            print(f"FAILED: median {name} error {100 * s.median[name]:.1f} % is above {within:.1%}")
            raise typer.Exit(1)
