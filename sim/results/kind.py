"""Which kind of scenario a result is of, and what only some kinds have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sim.errors import ResultError
from sim.spec.kinds import PLACEMENT

if TYPE_CHECKING:
    from sim.results.result import RunResult


def is_placement(manifest: Mapping[str, Any]) -> bool:
    """Whether the manifest of a run, or of several seeds, is of ``kind: placement``."""
    resolved = manifest.get("resolved")
    return isinstance(resolved, Mapping) and resolved.get("kind") == PLACEMENT


def serving_only(run: RunResult, what: str) -> None:
    """Refuse ``what`` of a run that served no requests.

    Raises:
        ResultError: it is a placement.
    """
    if is_placement(run.manifest):
        raise ResultError(f"{run.name} is of 'kind: placement'; {what} needs 'kind: serving'")


def power_nodes(run: RunResult) -> list[str]:
    """Names of the nodes of the electrical tree; none of a placement."""
    if is_placement(run.manifest):
        return []
    names: list[str] = run.tables.select("power_nodes", ["name"]).column("name").to_pylist()
    return names
