"""Sessions of pytest that tests start: each a process of its own that need not import anything."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

#: Where machine code is kept: pytester's processes have another home, and would compile it anew.
CACHE = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
#: Without the entry point, which may be of another installation.
OPTIONS = ("-p", "no:rackplan", "-p", "sim.pytest_plugin", "-p", "no:xdist")
#: What every session imports: done once, by the process of which they are forks.
PRELOADED = ["pytest", "hypothesis", "sim.pytest_plugin.items", "tests.unit.pytest_plugin.conftest"]

#: Runs pytest in a project's folder.
Session = Callable[..., pytest.RunResult]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests of a module keep their runs, so that each is made once."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def _machine_code(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept where all other tests keep it."""
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)


@pytest.fixture
def run(pytester: pytest.Pytester, tmp_path: Path) -> Session:
    """Runs pytest with the plugin in the folder of ``pytester``, with further arguments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def session(*arguments: str) -> pytest.RunResult:
        said = tmp_path / "said"
        process = context.Process(
            target=in_a_fork,
            args=(pytester.path, dict(os.environ), said, (*OPTIONS, *arguments)),
        )
        process.start()
        process.join()
        lines = said.read_text(encoding="utf-8").splitlines()
        assert process.exitcode is not None
        return pytest.RunResult(process.exitcode, lines, [], 0.0)

    return session


def in_a_fork(
    folder: Path, environment: dict[str, str], said: Path, arguments: tuple[str, ...]
) -> None:
    """Run pytest in a folder; what it says, on whatever stream, goes to a file."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with said.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(pytest.main([*arguments]))
