"""``rackplan new``: a commented scenario to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="name of the scenario; writes NAME.yaml here")],
) -> None:
    """Write NAME.yaml, a commented scenario that runs as it is; never overwrites a file."""
    from sim import paths
    from sim.errors import RackplanError

    name = name.removesuffix(".yaml")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
        raise RackplanError(
            f"{name!r} is not a scenario's name: use small letters, digits, '.', '-' and '_', "
            "a letter or digit first"
        )
    text = paths.data("templates", "new.yaml").read_text(encoding="utf-8")
    file = Path(f"{name}.yaml")
    try:
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text.replace("name: NAME", f"name: {name}", 1))
    except FileExistsError:
        raise RackplanError(f"{file} is there already; choose another name, or move it") from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise RackplanError(f"{file} cannot be written: {reason}") from None
    print(f"wrote {file}; next: rackplan check {file}, then rackplan run {file}")
