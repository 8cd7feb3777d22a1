"""A study that asks what a site survives: one failure at a time, each a run of its own.

``question: {survives: [ups, pdu, leaf]}``: every UPS, PDU and leaf of the base, each on its own. An
item is a kind, a name (``ups-a``), or a list of names that fail together. Each fails ``at`` a time,
the end of the warm-up where none is stated, ``for`` so long, or for good.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sim.errors import Mark, ScenarioError
from sim.spec.axes import Findings
from sim.spec.basis import KEYS, Basis, read_basis
from sim.spec.failing import FAILING, FailingSpec, read_failing
from sim.spec.nodes import Node, Path
from sim.spec.question import REQUIRED as OF_QUESTIONS
from sim.spec.study import open_reader

REQUIRED = {**OF_QUESTIONS, "question": "what may fail, such as {survives: [ups, pdu, leaf]}"}
_PATH: Path = ("question",)


@dataclass(frozen=True)
class SurvivesSpec(Basis):
    """Such a study as read; ``failing``: what may fail."""

    failing: FailingSpec

    @property
    def mark(self) -> Mark:
        """Where the question is written."""
        return self.failing.mark


def read_survives(path: str | os.PathLike[str], *, allow_outside: bool = False) -> SurvivesSpec:
    """Read such a study.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    failing = reader.part("question", lambda node: _question(node, found))
    spec = SurvivesSpec(
        **read_basis(reader, found, allow_outside),
        failing=failing or FailingSpec((), None, None, Mark(reader.file)),
    )
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


def _question(node: Node, found: Findings) -> FailingSpec:
    return read_failing(node, found.mapping(node, _PATH, FAILING), _PATH, found)
