"""``rackplan fetch``: bring a public trace or table, checked by its checksum."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def fetch(
    name: Annotated[
        str | None, typer.Argument(help="name of the file; left out: list what there is")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="folder to keep it in; else the user's cache"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fetch a public trace or table from its own address; without a name, list them."""
    from sim.catalog.public import fetch as bring
    from sim.catalog.public import public_file, public_files, public_folder

    if name is None:
        files = public_files()
        if as_json:
            print(json.dumps([asdict(one) for one in files.values()], indent=2))
            return
        for one in files.values():
            print(f"{one.name} ({one.kind}): {one.about}\n  {one.address}\n  {one.licence}")
        return
    wanted = public_file(name)
    file, fetched = bring(wanted, public_folder() if to is None else to)
    if as_json:
        print(json.dumps({"file": str(file), "fetched": fetched, **asdict(wanted)}, indent=2))
        return
    print(f"{'fetched' if fetched else 'already there:'} {file}")
    if wanted.kind == "trace":
        print(f"in a scenario: trace: {{file: {file.as_posix()}, format: {wanted.format}}}")
    print(f"licence: {wanted.licence}")
