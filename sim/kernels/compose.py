"""Machine code of plain functions: a policy's ``score`` and all that it calls, compiled together.

A policy is written in plain Python and imports no numba. ``compose`` makes a copy of a function
whose globals are the compiled forms of the plain functions that it names, of those that they name,
and so on; ``parts`` take the place of names of the function itself. Whole sources are kept between
processes only if the caller can name them all: the file in the cache is named by their digest.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba

from sim.kernels import cache, jit


def compose(
    function: Callable[..., Any],
    parts: Mapping[str, Callable[..., Any]],
    sources: Sequence[str] | None = None,
) -> Any:
    """The compiled form of a plain function and of all that it calls.

    Args:
        parts: name in the function → the plain function that it stands for here.
        sources: the text of every module outside ``sim.kernels`` that the parts come from: keep the
            machine code for other processes, and count no references to arrays (as in ``jit``: no
            part allocates one); None: do neither.
    """
    composer = _Composer(parts, {} if sources is None else jit.entry_options())
    if sources is not None:
        found = hashlib.sha256()
        for source in sources:
            found.update(source.encode() + b"\0")
        composer.composed_of = found.hexdigest()[:16]
    return composer.dispatcher(function)


class _Composer:
    """Compiles each function once, whoever calls it."""

    def __init__(self, parts: Mapping[str, Callable[..., Any]], options: dict[str, Any]) -> None:
        self._parts, self._options = parts, options
        self._made: dict[Any, Any] = {}
        self.composed_of: str | None = None

    def dispatcher(self, function: Any) -> Any:
        """The compiled form of a plain function; anything else as it is."""
        if not isinstance(function, types.FunctionType):
            return function
        if function in self._made:
            return self._made[function]
        outermost = not self._made
        self._made[function] = None
        known = dict(function.__globals__)
        for name in function.__code__.co_names:
            if name in self._parts or name in known:
                known[name] = self.dispatcher(self._parts.get(name, known.get(name)))
        copy = types.FunctionType(function.__code__, known, function.__name__)
        copy.__defaults__ = function.__defaults__
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        made = numba.njit(error_model="numpy", **self._options)(copy)
        if outermost and self.composed_of is not None and not numba.config.DISABLE_JIT:
            copy.composed_of = self.composed_of  # type: ignore[attr-defined]
            cache.keep(made)
        self._made[function] = made
        return made
