"""The first run of a version on a machine compiles its kernels: done once, and said beforehand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from sim.errors import RackplanError


def say_on_stderr(text: str) -> None:
    """Print a line on standard error, now."""
    print(text, file=sys.stderr, flush=True)


def prepare(engine: str, say: Callable[[str], None] = say_on_stderr) -> None:
    """Have the machine code of an engine at hand; ``say`` it if that takes long.

    The loop of the compiled engine takes most of the time there is to spend. What else is compiled
    is left to the run: which kernels it needs depends on the scenario. If other processes do the
    same, one of them compiles and the others wait.

    Raises:
        RackplanError: numba was told not to compile, and this engine does nothing else.
    """
    if engine != "compiled":
        return
    import numba

    if numba.config.DISABLE_JIT:
        raise RackplanError(
            "NUMBA_DISABLE_JIT is set, and the compiled engine runs compiled only: unset it, or "
            "take --engine reference"
        )
    from sim.kernels.advance import advance
    from sim.kernels.cache import folder, is_kept

    loop: Any = advance
    if is_kept(loop):
        return
    often = "once per version of rackplan"
    if folder() is None:
        often = (
            "and in every run, as there is no folder that this user alone can write "
            "(XDG_CACHE_HOME can name one)"
        )
    say(f"compiling the engine for this machine: about a minute, {often}")
    loop.compile((numba.int64[:, ::1], numba.float64))
