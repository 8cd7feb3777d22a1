"""``rackplan fetch``: bring a public trace, checked by its checksum."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def fetch(
    name: Annotated[
        str | None, typer.Argument(help="name of the trace; left out: list what there is")
    ] = None,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="folder to write it into")
    ] = Path("traces"),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fetch a public request trace from its own address; without a name, list them."""
    from sim.workload.fetch import fetch as bring
    from sim.workload.fetch import public_trace, public_traces

    if name is None:
        traces = public_traces()
        if as_json:
            print(json.dumps([asdict(trace) for trace in traces.values()], indent=2))
            return
        for trace in traces.values():
            print(f"{trace.name}: {trace.about}\n  {trace.address}\n  {trace.licence}")
        return
    trace = public_trace(name)
    file, fetched = bring(trace, to)
    if as_json:
        print(json.dumps({"file": str(file), "fetched": fetched, **asdict(trace)}, indent=2))
        return
    print(f"{'fetched' if fetched else 'already there:'} {file}")
    print(f"in a scenario: trace: {{file: {file.as_posix()}, format: {trace.format}}}")
    print(f"licence: {trace.licence}")
