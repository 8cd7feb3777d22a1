"""The table of commands. Each command's own module imports what is heavy inside its function."""

from __future__ import annotations

from typing import Annotated

import typer

import sim
from sim.cli.calibrate import calibrate_app
from sim.cli.catalog import catalog
from sim.cli.check import check
from sim.cli.collective import collective
from sim.cli.compare import compare
from sim.cli.cost import cost
from sim.cli.dashboard import dashboard
from sim.cli.explain import explain
from sim.cli.fetch import fetch
from sim.cli.new import new
from sim.cli.place import place
from sim.cli.plan import plan
from sim.cli.predict import predict_app
from sim.cli.run import run
from sim.cli.schema import schema
from sim.cli.show import show
from sim.cli.sweep import sweep
from sim.cli.validate import validate

app = typer.Typer(
    name="rackplan",
    help="Does this site serve this traffic within its latency objectives and its power?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rackplan {sim.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of rackplan itself."""


for command in (
    new, check, run, show, explain, compare, sweep, plan, cost, place, collective, validate,
    dashboard,
    catalog,
    fetch,
    schema,
):  # fmt: skip
    app.command(command.__name__)(command)
app.add_typer(predict_app, name="predict")
app.add_typer(calibrate_app, name="calibrate")
