"""``rackplan explain``: why a replica of a run stands where it stands, in sentences."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.show import result_folder


def explain(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="run folder, or the name of one in runs/")
    ],
    replica: Annotated[
        str | None,
        typer.Option("--replica", metavar="NAME", help="chat-3: the fourth of pool chat"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say why a replica stands where it stands, what was refused, and what became of it.

    Without --replica: every replica with its place, and how often others were refused before.
    """
    from sim.cli.summary import console, plain_text
    from sim.policies.purpose import purpose
    from sim.results.explain import explain_replica, placements, replica_named
    from sim.results.kind import serving_only
    from sim.results.result import open_run

    result = open_run(Path(result_folder(run)))
    serving_only(result, "explain")
    if replica is None:
        rows = placements(result)
        if as_json:
            print(json.dumps(rows, indent=2))
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("replica", "server", "GPUs", "policy", "choice", "refused before"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(plain_text(str(row[key])) for key in row))
        console().print(table)
        return
    sentences = explain_replica(
        result, replica_named(result, replica), partial(purpose, "placement")
    )
    if as_json:
        print(json.dumps({"replica": replica, "sentences": sentences}, indent=2))
        return
    out = console()
    for sentence in sentences:
        out.print(plain_text(sentence))
