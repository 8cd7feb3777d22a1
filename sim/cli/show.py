"""``rackplan show``: the summary of a run that was made before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Where ``rackplan run`` puts results unless told otherwise.
RUNS = Path("runs")


def show(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="run folder, or the name of one in runs/")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="draw the electrical tree with load and headroom")
    ] = False,
) -> None:
    """Show what a run says, as `rackplan run` did when it ended.

    Exits with 1 if one of its expectations failed, 2 if it is no result that can be read.
    """
    from sim.cli.run import expectations_met, report
    from sim.cli.several import report_seeds, seeds_exit_code
    from sim.errors import ResultError
    from sim.results.result import open_run
    from sim.study.result import holds_several_seeds, open_seeds

    folder = Path(run)
    if not folder.exists() and (RUNS / run).is_dir():
        folder = RUNS / run
    if holds_several_seeds(folder):
        several = open_seeds(folder)
        if tree:
            raise ResultError(f"{folder} is of several seeds; --tree draws the tree of one run")
        report_seeds(several, as_json)
        raise typer.Exit(seeds_exit_code(several))
    result = open_run(folder)
    report(result, as_json)
    if tree and not as_json:
        from sim.cli.summary import console
        from sim.cli.tree import print_tree

        out = console()
        out.print()
        print_tree(result, out)
    raise typer.Exit(0 if expectations_met(result) else 1)
