"""A study that asks what a site survives: one failure at a time, each a run of its own.

``question: {survives: [ups, pdu, leaf]}``: every UPS, PDU and leaf of the base, each on its own. An
item is a kind, a name (``ups-a``), or a list of names that fail together. Each fails ``at`` a time,
the end of the warm-up where none is stated, ``for`` so long, or for good.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath

from sim.errors import Mark, ScenarioError
from sim.spec.axes import Findings, read_changes
from sim.spec.failing import FAILING, FailingSpec, read_failing
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path
from sim.spec.question import KEYS, SEEDS, read_lines, read_plan_seeds
from sim.spec.question import REQUIRED as OF_QUESTIONS
from sim.spec.study import open_reader, read_name

REQUIRED = {**OF_QUESTIONS, "question": "what may fail, such as {survives: [ups, pdu, leaf]}"}
_PATH: Path = ("question",)


@dataclass(frozen=True)
class SurvivesSpec:
    """Such a study as read; nothing in it has been looked up yet.

    Attributes:
        file, name, base, base_mark, root, changes, subject_to, seeds: as of any question.
        failing: what may fail.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    changes: tuple[Change, ...]
    failing: FailingSpec
    subject_to: Node | None
    seeds: int

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
    base, base_mark, bound = reader.base(allow_outside)
    failing = reader.part("question", lambda node: _question(node, found))
    seeds = reader.value("seeds", read_plan_seeds)
    spec = SurvivesSpec(
        file=reader.file,
        name=reader.value("name", read_name) or "",
        base=base,
        base_mark=base_mark,
        root=bound,
        changes=reader.part("set", lambda node: read_changes(node, ("set",), found)) or (),
        failing=failing or FailingSpec((), None, None, Mark(reader.file)),
        subject_to=reader.part("subject_to", lambda node: read_lines(node, found)),
        seeds=SEEDS if seeds is None else seeds,
    )
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


def _question(node: Node, found: Findings) -> FailingSpec:
    return read_failing(node, found.mapping(node, _PATH, FAILING), _PATH, found)
