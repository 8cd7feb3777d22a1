"""Which kind of question a study asks, and who answers it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from sim.errors import RackplanError
from sim.plan.runs import Making
from sim.plan.told import Answer
from sim.spec.question import asked_of

#: Key of ``question:`` → the module here whose ``load`` reads and checks such a study.
KINDS = {
    "minimum": "sim.plan.least.asked",
    "maximum": "sim.plan.least.asked",
    "survives": "sim.plan.survives.asked",
    "upgrade": "sim.plan.upgrade.asked",
    "cheapest": "sim.plan.mix.asked",
    "until": "sim.plan.growth.until_asked",
    "build_out": "sim.plan.growth.build_out_asked",
}


class Asked(Protocol):
    """A checked question of any kind."""

    @property
    def name(self) -> str:
        """The study's name."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Of the scenarios that it is about."""
        ...

    def answer(self, making: Making, how: How) -> Answer:
        """Run what is needed and conclude.

        Raises:
            RunFailed: a run came to no end.
            RackplanError: what is asked cannot be answered, or ``how`` does not apply.
        """
        ...


@dataclass(frozen=True)
class How:
    """What a user may add to a question.

    Attributes:
        shadow: what one step more of each resource buys is asked for; refused where there is no
            such thing.
        shadow_if_any: the same, left out where there is no such thing.
    """

    shadow: bool = False
    shadow_if_any: bool = False


def refuse_shadow(how: How, what: str) -> None:
    """Say that steps of resources are not asked for here.

    Raises:
        RackplanError: they are.
    """
    if how.shadow:
        message = f"--shadow: of {what} there is none; it is for 'minimum' and 'maximum'"
        raise RackplanError(message)


def load(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    allow_outside: bool = False,
) -> Asked:
    """Read and check a study that asks a question of any kind.

    Args:
        path: the study's file.
        sets: changes to the base.
        seeds: that a point gets at most; default: as the study says.
        allow_outside: let paths lead out of the folders that a study may use.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    module: Any = import_module(KINDS[asked_of(path, tuple(KINDS))])
    asked: Asked = module.load(path, sets=sets, seeds=seeds, allow_outside=allow_outside)
    return asked
