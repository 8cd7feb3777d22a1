"""How kernels are compiled: three decorators, one place for numba's options and its cache.

``@kernel`` is a step: it is inlined into its callers. ``@rare`` is a step too seldom taken to be
worth a copy at every call. ``@entry`` is what Python calls. Steps take
record arrays; inside them nothing allocates and nothing returns an array, so neither needs numba's
reference counting, and taking a record out of an array would otherwise count it up and down
atomically: ten times the cost of everything else together. ``_nrt=False`` and ``forceinline`` are
not documented by numba, hence the pinned range in pyproject.toml, the fallback below, and a test
that no reference counting is left in the compiled loop.

``RACKPLAN_JIT=plain`` compiles with documented options only: slower, profiles by function.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

PLAIN = "plain"


def _cache_folder() -> Path:
    """A writable folder of this user, named after the kernels' sources.

    numba's cache looks at the file of the entry point only; an edit in another module of this
    package must not find yesterday's machine code.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(os.environ.get("RACKPLAN_JIT", "").encode())
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rackplan" / f"kernels-{digest.hexdigest()[:16]}"


def _options() -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of steps and of entries: the fast ones, where this numba takes them."""
    if os.environ.get("RACKPLAN_JIT") == PLAIN:
        return {}, {}
    try:
        numba.njit(_nrt=False, forceinline=True)(_nothing)
    except (TypeError, KeyError, numba.core.errors.NumbaError) as error:
        warnings.warn(
            f"numba {numba.__version__} does not take the options that make the compiled engine "
            f"fast ({error}); it runs about ten times slower, with equal results",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}, {}
    return {"_nrt": False, "forceinline": True}, {"_nrt": False}


def _nothing() -> None:
    """Stands for a kernel in ``_options``."""


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_cache_folder())
_STEP, _ENTRY = _options()


def kernel(function: F) -> F:
    """A compiled step, inlined into its callers."""
    compiled: F = numba.njit(cache=True, **_STEP)(function)
    return compiled


def rare(function: F) -> F:
    """A compiled step that stays a call."""
    compiled: F = numba.njit(cache=True, **_ENTRY)(function)
    return compiled


#: A compiled function that Python calls.
entry = rare
