"""Machine code of plain functions: a policy's ``score`` and all that it calls, compiled together.

A policy is written in plain Python and imports no numba. ``compose`` makes a copy of a function
whose globals are the compiled forms of the plain functions that it names, of those that they name,
and so on; ``parts`` take the place of names of the function itself. Whole sources are kept between
processes only if the caller can name them all: the file in the cache is named by their digest.
Kernels below the function that name no part are the same with every policy: they are compiled once
for all of them, and kept.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
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
        if self._is_same_for_all(function):
            self._made[function] = _of_all(function)
            return self._made[function]
        outermost = not self._made
        self._made[function] = None
        known = dict(function.__globals__)
        for name in function.__code__.co_names:
            if name in self._parts or name in known:
                known[name] = self.dispatcher(self._parts.get(name, known.get(name)))
        made = _compiled(function, known, self._options)
        if outermost and self.composed_of is not None and not numba.config.DISABLE_JIT:
            made.py_func.composed_of = self.composed_of
            cache.keep(made)
        self._made[function] = made
        return made

    def _is_same_for_all(self, function: Any) -> bool:
        """Whether it and all plain functions that it calls are kernels, and none names a part."""
        names, known = set(function.__code__.co_names), function.__globals__
        called = [known[name] for name in names if name in known]
        return (
            function.__module__.startswith("sim.kernels.")
            and not names & self._parts.keys()
            and all(map(self._is_same_for_all, filter(inspect.isfunction, called)))
        )


@functools.cache
def _of_all(function: Any) -> Any:
    """The compiled form of a kernel that no part changes, kept for other policies and processes."""
    known = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(known.get(name), types.FunctionType):
            known[name] = _of_all(known[name])
    made = _compiled(function, known, jit.entry_options())
    if not numba.config.DISABLE_JIT:
        cache.keep(made)
    return made


def _compiled(function: Any, known: dict[str, Any], options: dict[str, Any]) -> Any:
    """A copy of a plain function with other globals, compiled when it is called."""
    copy = types.FunctionType(function.__code__, known, function.__name__)
    copy.__defaults__ = function.__defaults__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return jit.once_for_numbers(numba.njit(error_model="numpy", **options)(copy))
