"""How kernels are compiled: three decorators, one place for numba's options.

``@kernel`` is a step: it is inlined into its callers. ``@rare`` is a step too seldom taken to be
worth a copy at every call. ``@entry`` is what Python calls; its machine code holds that of all the
steps below it, and is kept between processes (``sim.kernels.cache``). Steps take bundles and
records; inside them nothing allocates and nothing returns an array, so none needs numba's
reference counting. ``_nrt=False`` and ``forceinline`` are not documented by numba, hence the
pinned range in pyproject.toml, the fallback below, and tests that both work.

``RACKPLAN_JIT=plain`` compiles with documented options only: slower, profiles by function.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from sim.kernels import cache

F = TypeVar("F", bound=Callable[..., Any])

PLAIN = "plain"


def _options() -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of steps and of entries: the fast ones, where this numba takes them."""
    if os.environ.get("RACKPLAN_JIT") == PLAIN:
        return {}, {}
    try:
        numba.njit(_nrt=False, forceinline=True)(_nothing)
    except (TypeError, KeyError, numba.core.errors.NumbaError) as error:
        warnings.warn(
            f"numba {numba.__version__} does not take the options that make the compiled engine "
            f"fast ({error}); it runs about a third slower, with equal results",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}, {}
    return {"_nrt": False, "forceinline": True}, {"_nrt": False}


def _nothing() -> None:
    """Stands for a kernel in ``_options``."""


_STEP, _ENTRY = _options()


def entry_options() -> dict[str, Any]:
    """What numba is told for an entry, for code that compiles functions itself (``compose``)."""
    return dict(_ENTRY)


def once_for_numbers(dispatcher: Any) -> Any:
    """Have one code of a step for all whole numbers that it is called with.

    numba types a constant argument by its value, and a field of a record by its width: the engine
    took a fifth longer to compile with a copy of a step for each of them. A step that is inlined
    is none the slower: the optimiser sees the constant there.
    """
    if numba.config.DISABLE_JIT:  # then it is the function itself
        return dispatcher
    ask = dispatcher.get_call_template

    def ask_for_any(args: Any, kws: Any) -> Any:
        return ask(tuple(map(_of_any_value, args)), {k: _of_any_value(v) for k, v in kws.items()})

    dispatcher.get_call_template = ask_for_any
    return dispatcher


def _of_any_value(given: Any) -> Any:
    """The type of an argument without its value, and of a signed whole number without its width."""
    kind = numba.types.unliteral(given)
    whole = isinstance(kind, numba.types.Integer) and kind.signed
    return numba.types.int64 if whole else kind


def kernel(function: F) -> F:
    """A compiled step, inlined into its callers."""
    compiled: F = once_for_numbers(numba.njit(**_STEP)(function))
    return compiled


def rare(function: F) -> F:
    """A compiled step that stays a call."""
    compiled: F = once_for_numbers(numba.njit(**_ENTRY)(function))
    return compiled


def entry(function: F) -> F:
    """A compiled function that Python calls."""
    compiled: F = numba.njit(**_ENTRY)(function)
    if function.__module__.startswith("sim.kernels.") and not numba.config.DISABLE_JIT:
        cache.keep(compiled)
    return compiled
