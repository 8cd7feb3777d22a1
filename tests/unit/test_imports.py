"""What is imported when: `import sim` and the help cost nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Prints which of the named modules a piece of code has loaded.
REPORT = "; import sys; print(*sorted(m for m in {names!r} if m in sys.modules))"


def loaded(code: str, names: list[str]) -> list[str]:
    """Run ``code`` in a fresh interpreter; which of ``names`` it imported."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT.format(names=names)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1].split()


def test_import_sim_loads_nothing_heavy() -> None:
    heavy = [
        "numpy",
        "simpy",
        "pyarrow",
        "pydantic",
        "yaml",
        "duckdb",
        "streamlit",
        "typer",
        "rich",
    ]
    assert loaded("import sim", heavy) == []


@pytest.mark.parametrize("command", ["--help", "check scenarios/quickstart.yaml"])
def test_help_and_check_stay_light(command: str) -> None:
    code = (
        "import sys, contextlib, io\n"
        f"sys.argv = ['rackplan', *{command.split()!r}]\n"
        "from sim.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main()\n"
        "pass"
    )
    assert loaded(code, ["numba", "streamlit", "cupy", "duckdb", "altair", "simpy"]) == []


def test_the_public_names_are_there() -> None:
    names = [
        "load_scenario",
        "run_scenario",
        "Scenario",
        "RunResult",
        "RackplanError",
        "ScenarioError",
    ]
    code = f"import sim; assert all(getattr(sim, n) for n in {names!r})"
    assert loaded(code, ["simpy"]) == ["simpy"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    import sim

    name = "simulate"
    with pytest.raises(AttributeError, match="module 'sim' has no attribute 'simulate'"):
        getattr(sim, name)
