"""Which arguments ``replica_model`` takes for layouts that not every version models."""

from __future__ import annotations

from functools import cache
from inspect import signature

from sim.perf.replica import replica_model

_WORDS = {
    "expert_parallel": "expert parallelism",
    "attention_data_parallel": "data-parallel attention",
}


@cache
def _modelled() -> frozenset[str]:
    return frozenset(_WORDS) & frozenset(signature(replica_model).parameters)


def arguments_of(expert_parallel: int, attention_data_parallel: int) -> dict[str, int]:
    """The degrees above 1, as arguments of ``replica_model``."""
    degrees = {
        "expert_parallel": expert_parallel,
        "attention_data_parallel": attention_data_parallel,
    }
    return {name: degree for name, degree in degrees.items() if degree > 1}


def lacking_arguments(expert_parallel: int, attention_data_parallel: int) -> list[str]:
    """What of a layout is not modelled, in words."""
    asked = arguments_of(expert_parallel, attention_data_parallel)
    return [_WORDS[name] for name in asked if name not in _modelled()]
