"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Tests that run scenarios, below this folder.
RUNNING = (
    "dashboard", "determinism", "golden", "packaging", "property", "theory", "unit/cli",
    "unit/engine", "unit/policies", "unit/results", "unit/study", "unit/test_documents.py",
    "unit/test_scenarios.py", "unit/test_questions.py", "unit/plan", "unit/cost",
)  # fmt: skip


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile the engine before the first test that needs it, once for all workers.

    So no test waits for it, and none finds the line that announces it in its output.
    """
    tests = Path(__file__).parent
    places = {item.path.relative_to(tests).as_posix() for item in session.items}
    if any(place.startswith(RUNNING) for place in places) and not session.config.option.collectonly:
        from sim.engine.first_compile import prepare

        prepare("compiled")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of measured data beside the project, or a skip that says it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data beside the project, which is missing here")
    return folder
