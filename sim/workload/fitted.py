"""The fitted sources of ``data/workloads``: one JSON file each, with its facts and sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim import paths
from sim.errors import UnknownName
from sim.workload.lengths import LengthTable
from sim.workload.segments import State


@dataclass(frozen=True)
class FittedSource:
    """A fitted source: its own mean rate, how the rate moves, and its lengths.

    ``facts`` is the file as it stands, with the published facts, sources, licences and marks.
    """

    name: str
    rate_per_s: float
    states: tuple[State, ...]
    visits: int  # turns through the states in one evenly drawn block
    lengths: LengthTable
    facts: Mapping[str, Any]


def synthetic_names() -> tuple[str, ...]:
    """The names of the fitted sources, in order of name."""
    return tuple(sorted(file.stem for file in paths.data("workloads").glob("*.json")))


def fitted_source(name: str) -> FittedSource:
    """The fitted source ``name``.

    Raises:
        UnknownName: there is none of that name; the message has the nearest.
    """
    known = synthetic_names()
    if name not in known:
        raise UnknownName("synthetic source", name, known)
    facts = json.loads(paths.data("workloads", f"{name}.json").read_text(encoding="utf-8"))
    process, table = facts["arrivals"], facts["lengths"]
    return FittedSource(
        name=name,
        rate_per_s=float(process["rate_per_s"]),
        states=tuple(
            State(np.asarray(state["duration_s"], float), np.asarray(state["rate_multiple"], float))
            for state in process["states"]
        ),
        visits=int(process["visits"]),
        lengths=LengthTable(
            probabilities=np.asarray(table["probabilities"], dtype=np.float64),
            input_tokens=np.asarray(table["input_tokens"], dtype=np.float64),
            output_tokens=np.asarray(table["output_tokens"], dtype=np.float64),
            joint=np.asarray(table["joint"], dtype=np.int64),
        ),
        facts=facts,
    )
