"""Where machine code is kept between processes: one folder for all that it depends on.

numba's own cache asks whether the file of a compiled function has changed. Here a function is
compiled together with all that it calls, from many files, so the folder is named by a digest of
every source of this package, and of the versions, options and processor that machine code is made
for. What is in it is loaded without a question, so it counts only if this user alone can write
there: anybody else's file would be anybody's code.

Folders of other digests are removed once nobody has used them for a month, but for a few.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding as llvm
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.compiler_lock import global_compiler_lock

SOURCES = Path(__file__).parent
#: Folders of other digests that stay whatever their age, and how long the others do.
KEPT = 3
KEPT_S = 30 * 86_400.0

#: Settings of numba that change what it makes of a source.
_SETTINGS = (
    "BOUNDSCHECK", "CPU_FEATURES", "CPU_NAME", "DEBUGINFO_DEFAULT", "ENABLE_AVX", "LOOP_VECTORIZE",
    "OPT", "SLP_VECTORIZE",
)  # fmt: skip


def digest() -> str:
    """What machine code depends on, as 16 digits."""
    found = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.py")):
        found.update(source.name.encode() + b"\0" + source.read_bytes())
    settings = [getattr(numba.config, name, None) for name in _SETTINGS]
    made_by = (sys.version, numba.__version__, llvmlite.__version__, settings)
    made_for = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    found.update(repr((made_by, made_for, os.environ.get("RACKPLAN_JIT"))).encode())
    return found.hexdigest()[:16]


@cache
def folder() -> Path | None:
    """This version's folder, there and this user's own; None if there is no safe place for one."""
    name = f"kernels-{digest()}"
    for base in _bases():
        if _is_private(base) and _is_private(base / name):
            with suppress(OSError):
                os.utime(base / name)  # used today
            remove_old(base)
            return base / name
    return None


def _bases() -> Iterator[Path]:
    """Where this user's folders may be, the best place first."""
    places = []
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        places.append(Path(named).absolute())
    if os.path.isabs(named := os.environ.get("XDG_CACHE_HOME", "")):
        places.append(Path(named))
    with suppress(RuntimeError):  # no home
        places.append(Path.home() / ".cache")
    for place in places:
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            if not _others_rename_in(place):
                yield place / "rackplan"
    with suppress(OSError):
        temporary = Path(tempfile.gettempdir())
        if not _others_rename_in(temporary):
            yield temporary / f"rackplan-{os.geteuid()}"


def _others_rename_in(place: Path) -> bool:
    """Whether another user could put a folder of theirs in the place of one of ours."""
    found = place.stat()
    sticky = found.st_mode & stat.S_ISVTX
    return found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & 0o022 and not sticky)


def _is_private(place: Path) -> bool:
    """Whether a folder is there, or can be made, that this user writes and nobody else does."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o022 and os.access(place, os.W_OK | os.X_OK)


def remove_old(base: Path) -> None:
    """Remove folders of other digests that nobody has used for long, but for the newest few."""
    found = []
    for place in base.glob("kernels-*"):
        with suppress(OSError):  # another process removes it
            found.append((place.stat().st_mtime, place))
    for used_s, place in sorted(found, reverse=True)[KEPT:]:
        if used_s < time.time() - KEPT_S:
            shutil.rmtree(place, ignore_errors=True)


# ---- what numba asks of a cache ------------------------------------------------------------------


class _Locator(_CacheLocator):
    """Where: in the folder, whose name says all that a file's age would."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        # What ``sim.kernels.compose`` makes depends on more than the kernels; it says on what.
        line = str(function.__code__.co_firstlineno)
        self._disambiguator = getattr(function, "composed_of", line)

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return str(self._disambiguator)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        return cls(function, file)


class _Impl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


#: What unpickling a damaged file may raise, according to the documentation of pickle.
_DAMAGED = (
    pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, OSError, TypeError,
    ValueError,
)  # fmt: skip


class KernelCache(FunctionCache):
    """numba's cache of a function in this user's folder. A cache: no trouble with it ends a run."""

    _impl_class = _Impl

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Machine code that was kept, or None."""
        try:
            return super().load_overload(signature, context)
        except _DAMAGED:  # a full disk, a machine that went down: compile it again
            self.flush()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep machine code."""
        try:
            super().save_overload(signature, compiled)
        except OSError as error:
            warnings.warn(
                f"machine code cannot be kept, and is compiled again next time: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def keep(dispatcher: Any) -> None:
    """Keep an entry's machine code, and let one process at a time compile it."""
    place = folder()
    if place is None:
        return
    function = dispatcher.py_func
    dispatcher._cache = KernelCache(function)
    lock = place / f"{name_of(function)}.lock"
    compile_it = dispatcher.compile

    def compile_once(signature: Any) -> Any:
        # numba's lock first: who has the other one may come to need it.
        with global_compiler_lock, _locked(lock):
            return compile_it(signature)

    dispatcher.compile = compile_once


def is_kept(dispatcher: Any) -> bool:
    """Whether an entry has been compiled, by this process or another before it."""
    place = folder()
    if dispatcher.signatures or place is None:
        return bool(dispatcher.signatures)
    return any(place.glob(f"{name_of(dispatcher.py_func)}-*.nbi"))


def name_of(function: Callable[..., Any]) -> str:
    """What the files of a function in this package begin with."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait for other processes that hold the same lock; on a disk without locks, do not."""
    with ExitStack() as stack:
        with suppress(OSError):
            fcntl.flock(stack.enter_context(file.open("w")), fcntl.LOCK_EX)
        yield
