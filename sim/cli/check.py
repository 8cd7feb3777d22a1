"""``rackplan check``: are these scenarios right, and if not, everything that is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="scenario or study files")],
    sets: Annotated[
        list[str] | None,
        # The backslash keeps typer's help from taking the brackets for markup.
        typer.Option(
            "--set", metavar="PATH=VALUE", help=r"change a value: pools\[chat].replicas=30"
        ),
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the scenario's folder")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check scenario and study files without running them; list everything that is wrong.

    Exits with 0 if all are right, else with 2.
    """
    from sim.errors import ScenarioError

    reports = []
    for file in files:
        report: dict[str, object] = {
            "file": file,
            "ok": True,
            "problems": [],
            "warnings": [],
            "remarks": [],
        }
        try:
            warnings, remarks = _said(file, sets or (), allow_outside)
        except ScenarioError as error:
            report["ok"] = False
            report["problems"] = [
                {
                    "file": problem.mark.file,
                    "line": problem.mark.line or None,
                    "column": problem.mark.column or None,
                    "path": problem.path,
                    "message": problem.message,
                }
                for problem in error.problems
            ]
            if not as_json:
                print(error, file=sys.stderr)
        else:
            report["warnings"] = warnings
            report["remarks"] = remarks
            if not as_json:
                print(f"{file}: ok")
                for remark in remarks:
                    print(f"{file}: {remark}")
                for warning in warnings:
                    print(f"{file}: warning: {warning}", file=sys.stderr)
        reports.append(report)
    if as_json:
        print(json.dumps(reports, indent=2))
    if not all(report["ok"] for report in reports):
        raise typer.Exit(2)


def _said(file: str, sets: Sequence[str], allow_outside: bool) -> tuple[list[str], list[str]]:
    """Warnings and remarks on a file that is right: a scenario, or all points of a study.

    Raises:
        ScenarioError: everything that is wrong.
    """
    # `check` is also the name of a function here, hence the imports by module.
    from sim import check as checking
    from sim import spec
    from sim.spec.study import asks_question, is_study

    if asks_question(file):
        from sim.plan.kinds import load

        return list(load(file, sets=sets, allow_outside=allow_outside).warnings), []
    if is_study(file):
        from sim.study.points import load_study

        return load_study(file, sets=sets, allow_outside=allow_outside).warnings, []
    document = spec.read(file, sets=sets, allow_outside=allow_outside)
    scenario = checking.check(document)
    return list(scenario.warnings), list(scenario.remarks)
