"""The replay of one policy as machine code: its functions in the places that kernels keep."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from sim.errors import RackplanError, did_you_mean
from sim.kernels import compose, place_by_value, place_lazily, placing
from sim.kernels.node_state import POD, node_dtype

#: Functions a policy may have, and what stands in for each where it has none.
_VALUE_PARTS: dict[str, Callable[..., Any]] = {
    "price": place_by_value.no_price,
    "grade": place_by_value.no_grade,
}


def bounded(policy: type[Any]) -> bool:
    """Whether a price can only lower its scores, so that nodes need not all be scored."""
    seen_together = hasattr(policy, "post") or getattr(policy, "draws", False)
    return hasattr(policy, "price") and not seen_together


def parts_of(policy: type[Any]) -> dict[str, Callable[..., Any]]:
    """What each name in the replay stands for with this policy.

    Raises:
        RackplanError: it has neither ``score`` nor ``value``, or both.
    """
    by_value, by_score = hasattr(policy, "value"), hasattr(policy, "score")
    if by_value == by_score:
        has = "both" if by_value else "neither"
        raise RackplanError(f"{policy.__name__} has {has} of score and value; a replay needs one")
    parts: dict[str, Callable[..., Any]] = {
        "post": getattr(policy, "post", placing.no_post),
        "choose": place_lazily.choose_by_bound if bounded(policy) else placing.choose_by_score,
    }
    if by_score:
        return parts | {"score": policy.score}
    return parts | {
        "score": place_by_value.score_by_value,
        "rate": place_by_value.rate_by_value,
        "value": policy.value,
        **{name: getattr(policy, name, spare) for name, spare in _VALUE_PARTS.items()},
    }


@cache
def loop_of(policy: Any) -> Any:
    """The compiled replay of a policy; kept between processes for those that rackplan ships."""
    return compose.compose(placing.replay, parts_of(policy), _sources(policy))


def _sources(policy: type[Any]) -> tuple[str, ...] | None:
    """What a shipped policy's machine code depends on: they may call each other's helpers."""
    if not policy.__module__.startswith("sim.policies.placement."):
        return None
    names = sorted(name for name in sys.modules if name.startswith("sim.policies.placement."))
    return policy.__qualname__, *(inspect.getsource(sys.modules[name]) for name in names)


def uncompiled(policy: type[Any], error: Exception) -> str:
    """What numba could not compile, in the words of whoever wrote the policy."""
    function = getattr(policy, "score", None) or policy.value
    file = inspect.getsourcefile(function) or policy.__module__
    place = f"{file}: {function.__name__}"
    if isinstance(error, KeyError):
        name = str(error.args[0])
        known = (*(POD.names or ()), *(node_dtype(8).names or ()))
        return f"{place}: nodes and pods have no field {name!r}{did_you_mean(name, known, 20)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [
        line for line in lines
        if not line.startswith(("Failed in", "During:", "File ", "<source", "^", "- Resolution"))
    ]  # fmt: skip
    said = " / ".join(dict.fromkeys(telling))[:600]
    return f"{place}: is not in the part of Python that numba compiles: {said}"
