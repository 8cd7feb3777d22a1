"""The table of commands. Each command's own module imports what is heavy inside its function."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="rackplan",
    help="Does this site serve this traffic within its latency objectives and its power?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
