"""``rackplan show``: the summary of a run that was made before, or what a scenario can lose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.errors import RackplanError

#: Where ``rackplan run`` puts results unless told otherwise.
RUNS = Path("runs")


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="run folder, or the name of one in runs/; a scenario for --outages"
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="draw the electrical tree with load and headroom")
    ] = False,
    outages: Annotated[
        bool,
        typer.Option(
            "--outages", help="of a scenario: what each loss of a feed does, without a run"
        ),
    ] = False,
    fabric: Annotated[
        bool, typer.Option("--fabric", help="of a scenario: its network in numbers, without a run")
    ] = False,
    links: Annotated[
        bool,
        typer.Option("--links", help="of a run: what the network's links carried, which bound"),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", help="with --links: how many links to list"),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FILE", help="with --fabric: the network as .json or .graphml"
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="with --outages or --fabric: change a value"
        ),
    ] = None,
) -> None:
    """Show what a run says, as `rackplan run` did when it ended.

    With --links: bytes, utilisation and time full of each tier of links, and of the links that
    bound, those that were full longest first.

    With --outages RUN is a scenario file: for the loss of each switchboard, UPS and PDU, who
    carries what afterwards, for how long, and whether clocks or brake come in time and suffice.

    With --fabric RUN is a scenario file: its switches and cables, the bisection bandwidth, the
    oversubscription of each level. --write saves the graph, to change and name under `fabric:`.

    Exits with 1 if one of its expectations failed, 2 if it is no result that can be read.
    """
    _refuse_mixtures({"--tree": tree, "--links": links}, outages, fabric, write, sets)
    if top is not None and not links:
        raise RackplanError("--top says how many links to list: it goes with --links only")
    if top is not None and top < 1:
        raise RackplanError(f"--top takes a number from 1 on, not {top}")
    if outages:
        _show_outages(run, sets or [], as_json)
        return
    if fabric:
        _show_fabric(run, sets or [], as_json, write)
        return
    if links:
        _show_links(run, as_json, top)
        return
    _show_run(run, as_json, tree)


def _show_run(run: str, as_json: bool, tree: bool) -> None:
    """The summary of a run, or of several seeds."""
    from sim.cli.calibration_table import report_ranges
    from sim.cli.calibrations import samples_exit_code
    from sim.cli.run import expectations_met, report
    from sim.cli.several import report_seeds, seeds_exit_code
    from sim.errors import ResultError
    from sim.results.kind import serving_only
    from sim.results.result import open_run
    from sim.study.calibrations import holds_calibrations, open_calibrations
    from sim.study.result import holds_several_seeds, open_seeds

    folder = result_folder(run)
    if holds_calibrations(folder) and not tree:
        ranges = open_calibrations(folder)
        report_ranges(ranges, as_json)
        raise typer.Exit(samples_exit_code(ranges, 0))
    if holds_several_seeds(folder):
        several = open_seeds(folder)
        if tree:
            raise ResultError(f"{folder} is of several seeds; --tree draws the tree of one run")
        report_seeds(several, as_json)
        raise typer.Exit(seeds_exit_code(several))
    result = open_run(folder)
    if tree:
        serving_only(result, "--tree")
    report(result, as_json)
    if tree and not as_json:
        from sim.cli.summary import console
        from sim.cli.tree import print_tree

        out = console()
        out.print()
        print_tree(result, out)
    raise typer.Exit(0 if expectations_met(result) else 1)


def result_folder(run: str) -> Path:
    """The folder of a run that is named by its path or by its name in ``runs/``."""
    folder = Path(run)
    return RUNS / run if not folder.exists() and (RUNS / run).is_dir() else folder


def _show_links(run: str, as_json: bool, top: int | None) -> None:
    """What the network's links did in a run."""
    from sim.cli.links import TOP, links_json, print_links
    from sim.cli.summary import console
    from sim.errors import ResultError
    from sim.results.kind import serving_only
    from sim.results.result import open_run
    from sim.study.result import holds_several_seeds

    folder = result_folder(run)
    if folder.is_file():
        raise RackplanError(
            f"{run} is a scenario; --links asks a run: rackplan run {run}, then rackplan show RUN "
            "--links"
        )
    if holds_several_seeds(folder):
        raise ResultError(f"{folder} is of several seeds; --links shows the links of one run")
    result = open_run(folder)
    serving_only(result, "--links")
    if as_json:
        print(json.dumps(links_json(result, TOP if top is None else top), indent=2))
    else:
        print_links(result, console(), TOP if top is None else top)


def _refuse_mixtures(
    of_a_run: dict[str, bool],
    outages: bool,
    fabric: bool,
    write: Path | None,
    sets: list[str] | None,
) -> None:
    """Refuse options that do not go together."""
    if all(of_a_run.values()):
        raise RackplanError(f"{' and '.join(of_a_run)} show different things: ask for one of them")
    if outages and fabric:
        raise RackplanError("--outages and --fabric show different things: ask for one of them")
    for wanted, option in ((outages, "--outages"), (fabric, "--fabric")):
        for other in (name for name, asked in of_a_run.items() if wanted and asked):
            raise RackplanError(f"{other} is of a run, {option} of a scenario: ask for one of them")
    if write is not None and not fabric:
        raise RackplanError("--write saves the network of a scenario: it goes with --fabric only")
    if sets and not (outages or fabric):
        raise RackplanError("--set changes a scenario: it goes with --outages or --fabric only")


def _show_outages(file: str, sets: list[str], as_json: bool) -> None:
    """What each loss does in a scenario."""
    from sim.check.scenario import serving
    from sim.cli.outages import losses_json, print_losses
    from sim.cli.summary import console
    from sim.engine.api import load_scenario
    from sim.engine.outages import losses

    _refuse_run(file, "--outages")
    scenario = serving(load_scenario(file, sets=sets), "--outages")
    if as_json:
        print(json.dumps(losses_json(losses(scenario)), indent=2))
    else:
        print_losses(scenario, losses(scenario), console())


def _show_fabric(file: str, sets: list[str], as_json: bool, write: Path | None) -> None:
    """The network of a scenario in numbers."""
    from sim.check.scenario import serving
    from sim.cli.fabric import fabric_json, print_fabric
    from sim.cli.summary import console
    from sim.engine.api import load_scenario
    from sim.site.fabric.measure import measure_fabric

    _refuse_run(file, "--fabric")
    scenario = serving(load_scenario(file, sets=sets), "--fabric")
    if scenario.fabric is None:
        raise RackplanError(
            f"{file} states no network; write 'fabric: {{kind: rail-optimised}}' or another"
        )
    measured = measure_fabric(scenario.fabric.build(scenario.site))
    if write is not None:
        from sim.site.fabric.files import write_graph

        write_graph(scenario.fabric.graph(scenario.site), write)
    if as_json:
        print(json.dumps(fabric_json(scenario, measured), indent=2))
    else:
        print_fabric(scenario, measured, console())


def _refuse_run(file: str, option: str) -> None:
    if Path(file).is_dir() or (RUNS / file).is_dir():
        raise RackplanError(
            f"{file} is a run; {option} asks a scenario: rackplan show FILE.yaml {option}"
        )
