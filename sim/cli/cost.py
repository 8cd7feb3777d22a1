"""``rackplan cost``: what a site costs, what a million tokens cost, and what power is stranded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli.show import result_folder
from sim.errors import RackplanError

if TYPE_CHECKING:
    from sim.cost.built import Built
    from sim.results.result import RunResult

#: Width of output that goes to no terminal.
WIDTH = 110


def cost(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO_OR_RUN...",
            help="a scenario file; or run folders, the seeds of one scenario; or both",
        ),
    ],
    sets: Annotated[
        list[str] | None,
        # The backslash keeps typer's help from taking the brackets for markup.
        typer.Option(
            "--set", metavar="PATH=VALUE", help=r"of a scenario: change a value: costs.staff=…"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the scenario's folder")
    ] = False,
) -> None:
    """Say what a site costs to buy and in a year, and where its provisioned power stays.

    With runs also what a million tokens within the SLO cost, in money and carbon, and how much
    goodput a provisioned megawatt gives; several seeds give intervals. Prices are the scenario's
    `costs:`, else defaults that are listed with their sources (docs/cost.md). A scenario beside
    runs of the same site has its own prices applied to what those runs measured.
    """
    from sim.cost.answer import answer, content_of

    files = [one for one in what if Path(one).is_file()]
    results = _results([one for one in what if one not in files])
    if len(files) > 1:
        raise RackplanError(f"one scenario at a time, not {' and '.join(files)}")
    if sets and not files:
        raise RackplanError("--set changes a scenario: name its file too, before the runs")
    built = _site(files, sets or [], allow_outside, results)
    found = answer(built, results)
    if as_json:
        print(json.dumps(content_of(found), indent=2))
        return
    from sim.cli.cost_text import print_answer
    from sim.cli.summary import console

    print_answer(found, console(WIDTH))


def _site(
    files: list[str], sets: list[str], allow_outside: bool, results: list[RunResult]
) -> Built:
    """The site, of the scenario if there is one, else of the first run."""
    from sim.check.scenario import serving
    from sim.cost.built import built_of
    from sim.cost.of_run import built_of_run
    from sim.engine.api import load_scenario

    if not files:
        return built_of_run(results[0].manifest)
    scenario = serving(load_scenario(files[0], sets=sets, allow_outside=allow_outside), "cost")
    for result in results:
        for section in ("site", "power", "fabric", "pools"):
            if result.manifest["resolved"].get(section) != scenario.resolved.get(section):
                raise RackplanError(
                    f"{result.name} is of another site than {files[0]}: they differ in {section!r}"
                )
    return built_of(scenario)


def _results(folders: list[str]) -> list[RunResult]:
    """The runs, those of a folder of several seeds one by one.

    Raises:
        RackplanError: one is no run, or they are of different scenarios.
    """
    from sim.results.folders import MANIFEST
    from sim.results.kind import serving_only
    from sim.results.result import open_run, read_json
    from sim.study.result import holds_several_seeds

    found = []
    for name in folders:
        folder = result_folder(name)
        if not folder.is_dir():
            raise RackplanError(f"there is no scenario file and no run folder {name}")
        places = [folder]
        if holds_several_seeds(folder):
            runs = read_json(folder / MANIFEST)["runs"]
            places = [folder.parent / place for place in runs.values()]
        for place in places:
            result = open_run(place)
            serving_only(result, "cost")
            found.append(result)
    for result in found[1:]:
        if result.manifest["resolved"] != found[0].manifest["resolved"]:
            raise RackplanError(
                f"{result.name} and {found[0].name} are of different scenarios; the seeds of one "
                "scenario make an interval"
            )
        if any(result.manifest["seed"] == other.manifest["seed"] for other in found
               if other is not result):  # fmt: skip
            raise RackplanError(f"seed {result.manifest['seed']} is named twice")
    return found
