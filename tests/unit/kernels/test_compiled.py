"""How kernels are compiled, and where their machine code is kept."""

from __future__ import annotations

import ast
import importlib
import os
import stat
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from sim.engine import first_compile
from sim.errors import RackplanError
from sim.kernels import advance, cache, compose, jit, placing
from sim.place.loop import parts_of
from sim.policies.base import policies

SOURCES = sorted(cache.SOURCES.glob("*.py"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another place for the cache, which no process has used yet."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    cache.folder.cache_clear()
    yield tmp_path
    cache.folder.cache_clear()


def test_the_folder_is_this_users_alone(home: Path) -> None:
    found = cache.folder()
    assert found == home / "home" / ".cache" / "rackplan" / f"kernels-{cache.digest()}"
    for place in (found, found.parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_environment_names_another_place(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(home / "mine"))
    found = cache.folder()
    assert found is not None
    assert found.parent == home / "mine" / "rackplan"


def test_what_others_can_write_is_left_alone(home: Path) -> None:
    shared = home / "home" / ".cache" / "rackplan"
    shared.mkdir(parents=True)
    shared.chmod(0o777)
    found = cache.folder()
    assert found is not None
    assert found.parent == home / "tmp" / f"rackplan-{os.geteuid()}"
    assert list(shared.iterdir()) == []


def test_a_link_in_the_temporary_folder_is_not_followed(home: Path) -> None:
    (home / "home").write_text("no folder, so nothing can be made in it")
    (home / "elsewhere").mkdir()
    (home / "tmp" / f"rackplan-{os.geteuid()}").symlink_to(home / "elsewhere")
    assert cache.folder() is None
    assert list((home / "elsewhere").iterdir()) == []


def test_a_folder_in_which_others_could_swap_ours_is_not_taken(home: Path) -> None:
    (home / "home").write_text("no folder")
    (home / "tmp").chmod(0o777)  # not sticky
    assert cache.folder() is None
    (home / "tmp").chmod(0o1777)
    cache.folder.cache_clear()
    assert cache.folder() is not None


def test_old_folders_go_but_for_the_newest_three(tmp_path: Path) -> None:
    now = time.time()
    for days in (1, 29, 31, 40, 50):
        place = tmp_path / f"kernels-{days}"
        place.mkdir()
        (place / "advance.nbc").write_bytes(b"x")
        os.utime(place, (now - days * 86_400,) * 2)
    (tmp_path / "something-else").mkdir()
    cache.remove_old(tmp_path)
    left = {place.name for place in tmp_path.iterdir()}
    assert left == {"kernels-1", "kernels-29", "kernels-31", "something-else"}


def test_another_setting_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.digest()
    assert cache.digest() == before
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    checked = cache.digest()
    monkeypatch.setenv("RACKPLAN_JIT", "plain")
    assert len({before, checked, cache.digest()}) == 3


def doubled(x: float) -> float:
    """Something to compile."""
    return 2.0 * x


def kept() -> Any:
    """``doubled`` as an entry whose code is kept in the fixture's folder."""
    compiled = numba.njit(doubled)
    cache.keep(compiled)
    return compiled


def test_machine_code_is_compiled_once(home: Path) -> None:
    first, second = kept(), kept()
    assert not cache.is_kept(first)
    assert first(3.0) == second(3.0) == 6.0
    assert cache.is_kept(kept())
    assert sum(first.stats.cache_misses.values()) == 1
    assert sum(second.stats.cache_hits.values()) == 1
    assert sum(second.stats.cache_misses.values()) == 0


def test_two_first_runs_at_once_compile_once(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from sim.kernels.time_change import accumulate\n"
        "last = accumulate(np.ones(3), 0.0)\n"
        "print(last, sum(accumulate.stats.cache_misses.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    at_once = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=120)[0].split() for process in at_once)
    assert said == [["3.0", "0"], ["3.0", "1"]]


@pytest.mark.parametrize("kind", ["nbc", "nbi"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04nonsense"])
def test_a_damaged_file_is_compiled_again(home: Path, kind: str, content: bytes) -> None:
    kept()(3.0)
    place = cache.folder()
    assert place is not None
    (damaged,) = place.glob(f"*.{kind}")
    damaged.write_bytes(content)
    assert kept()(3.0) == 6.0
    again = kept()
    assert again(3.0) == 6.0
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_full_disk_ends_no_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    with pytest.warns(RuntimeWarning, match=r"cannot be kept.*No space left"):
        assert kept()(3.0) == 6.0


def test_without_a_safe_folder_nothing_is_kept(home: Path) -> None:
    (home / "home").write_text("no folder")
    (home / "tmp").chmod(0o777)
    compiled = kept()
    assert compiled(3.0) == 6.0
    assert compiled.stats.cache_path is None
    assert cache.is_kept(compiled)  # by this process
    assert not cache.is_kept(kept())


# ---- the first compile is announced ---------------------------------------------------------


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A loop that was never compiled; what it is compiled for."""
    compiled_for: list[Any] = []
    loop = types.SimpleNamespace(signatures=[], compile=compiled_for.append, py_func=doubled)
    monkeypatch.setattr(advance, "advance", loop)
    return compiled_for


def test_the_first_compile_is_said_beforehand(home: Path, cold: list[Any]) -> None:
    said: list[str] = []
    first_compile.prepare("compiled", said.append)
    assert said == [
        "compiling the engine for this machine: about a minute, once per version of rackplan"
    ]
    assert cold == [(numba.int64[:, ::1], numba.float64)]


def test_it_is_said_on_stderr_and_that_it_cannot_be_kept(
    home: Path, cold: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "home").write_text("no folder")
    (home / "tmp").chmod(0o777)
    first_compile.prepare("compiled")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "about a minute, and in every run" in err


def test_nothing_is_said_of_the_reference_nor_twice(home: Path, cold: list[Any]) -> None:
    said: list[str] = []
    first_compile.prepare("reference", said.append)
    place = cache.folder()
    assert place is not None
    (place / f"{cache.name_of(doubled)}-1.py311.nbi").touch()
    first_compile.prepare("compiled", said.append)
    assert (said, cold) == ([], [])


def test_an_engine_that_only_runs_compiled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(RackplanError, match=r"NUMBA_DISABLE_JIT is set.*--engine reference"):
        first_compile.prepare("compiled")


# ---- options --------------------------------------------------------------------------------


def test_options_that_numba_does_not_take_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def strict(*arguments: Any, **options: Any) -> Any:
        if "_nrt" in options or "forceinline" in options:
            raise KeyError("Unrecognized options: _nrt, forceinline")
        return real(*arguments, **options)

    monkeypatch.delenv("RACKPLAN_JIT", raising=False)
    monkeypatch.setattr(numba, "njit", strict)
    with pytest.warns(RuntimeWarning, match=r"does not take the options.*equal results"):
        step, entry = jit._options()
    assert numba.njit(**step)(doubled)(3.0) == numba.njit(**entry)(doubled)(3.0) == 6.0


def test_the_options_are_those_that_this_numba_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RACKPLAN_JIT", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jit._options() == ({"_nrt": False, "forceinline": True}, {"_nrt": False})
    monkeypatch.setenv("RACKPLAN_JIT", "plain")
    assert jit._options() == ({}, {})


def chosen(a: Any, b: Any, which: int) -> Any:
    """Hands one of its arrays on, so it is counted once more."""
    return a if which == 0 else b


def machine_code(name: str) -> bytes:
    """What is kept of an entry: its symbols are in it by name."""
    place = cache.folder()
    assert place is not None
    return b"".join(file.read_bytes() for file in place.glob(f"{name}-*.nbc"))


def test_a_function_that_counts_references_shows_it(home: Path) -> None:
    compiled = numba.njit(chosen)
    cache.keep(compiled)
    assert compiled(np.ones(2), np.zeros(2), 1).sum() == 0.0
    assert b"NRT_incref" in machine_code("test_compiled.chosen")


def test_the_loop_counts_no_references() -> None:
    first_compile.prepare("compiled")
    code = machine_code("advance.advance")
    assert b"advance" in code
    assert b"NRT_incref" not in code


# ---- nothing is compiled twice --------------------------------------------------------------

COUNTED = np.dtype([("small", np.int32), ("large", np.int64)])


def one_more(value: Any) -> Any:
    """A step."""
    return value + 1


step = jit.kernel(one_more)


def all_numbers(record: Any, share: float) -> Any:
    """Calls a step with constants, fields of two widths, and a number that is not whole."""
    return step(1) + step(2) + step(record.small) + step(record.large) + step(share)


def test_a_step_is_compiled_once_for_all_whole_numbers() -> None:
    row = np.array([(10, 2**40)], COUNTED)[0]
    assert numba.njit(all_numbers)(row, 0.5) == 2 + 3 + 11 + 2**40 + 1 + 1.5
    assert step.signatures == [(numba.int64,), (numba.float64,)]


def test_what_no_policy_changes_is_compiled_once_for_all(home: Path) -> None:
    first, second = (
        compose.compose(placing.replay, parts_of(policies("placement")[name]), ("source",))
        for name in ("first-fit", "best-fit")
    )
    mine = compose.compose(placing.replay, parts_of(policies("placement")["packing"]))
    for name in ("preempt", "evict", "account", "take", "bar", "reason"):
        found = {id(loop.py_func.__globals__[name]) for loop in (first, second, mine)}
        assert len(found) == 1, name
    for name in ("choose", "score"):
        assert first.py_func.__globals__[name] is not second.py_func.__globals__[name]


# ---- what the folder's name covers ----------------------------------------------------------


def outside_names(source: Path) -> set[str]:
    """Names that a module of the kernels has from other parts of rackplan."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.startswith("sim.")
        and not node.module.startswith("sim.kernels")
        for alias in node.names
    }


def compiled_functions() -> list[Any]:
    """Every compiled function of the kernels."""
    modules = [
        importlib.import_module(f"sim.kernels.{source.stem}")
        for source in SOURCES
        if source.stem != "__init__"
    ]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if hasattr(value, "py_func") and value.py_func.__module__ == module.__name__
    ]


def test_no_compiled_function_depends_on_a_source_outside_the_kernels() -> None:
    outside = {f"sim.kernels.{source.stem}": outside_names(source) for source in SOURCES}
    found = compiled_functions()
    assert len(found) > 100
    assert any(outside.values())  # some modules have such names, for Python
    for function in found:
        used = set(function.py_func.__code__.co_names)
        assert not used & outside[function.py_func.__module__], function
