"""pytest collects scenario files: every line of ``expect:`` is a test.

Installed with rackplan (entry point ``pytest11``). Files named ``*.rackplan.yaml`` are collected
wherever pytest looks, and those below the paths of the ini option ``rackplan_scenarios``. The rest
is imported when a file is collected, so that sessions without one pay nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SUFFIX = ".rackplan.yaml"
#: Option, ini name, default, help.
_OPTIONS = (
    ("--rackplan-seeds", "rackplan_seeds", "16", "most seeds for a line; it is looked at after "
     "4, 8, 16, … of them (default: 16)"),
    ("--rackplan-tolerance", "rackplan_tolerance", "1 %", "how far a metric may be from its "
     "baseline (default: 1 %)"),
    ("--rackplan-jobs", "rackplan_jobs", "1", "worker processes for the seeds of a line "
     "(default: 1, in pytest's own process)"),
    ("--rackplan-engine", "rackplan_engine", "compiled", "serving plane (default: compiled)"),
    ("--rackplan-out", "rackplan_out", "", "folder of the runs (default: in pytest's cache)"),
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each also an ini line."""
    group = parser.getgroup("rackplan", "rackplan: scenarios as tests")
    for option, ini, _, text in _OPTIONS:
        group.addoption(option, dest=ini, default=None, help=text)
        parser.addini(ini, text, default=None)
    group.addoption(
        "--rackplan-update",
        action="store_true",
        help="write the baselines of the collected scenarios instead of comparing with them",
    )
    parser.addini(
        "rackplan_scenarios", "files and folders whose scenarios are collected", "paths", default=[]
    )
    parser.addini(
        "rackplan_allow_outside", "let paths lead out of a scenario's folder", "bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark that every item has."""
    config.addinivalue_line("markers", "rackplan: an expectation of a rackplan scenario")


def setting(config: pytest.Config, name: str) -> str:
    """An option's text: of the command line, of the ini file, or its default."""
    default = next(default for _, ini, default, _ in _OPTIONS if ini == name)
    for found in (config.getoption(name), config.getini(name)):
        if found is not None:
            return str(found)
    return default


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A collector for a scenario file."""
    listed = parent.config.getini("rackplan_scenarios")
    named = file_path.name.endswith(SUFFIX)
    below = file_path.suffix in (".yaml", ".yml") and any(
        file_path == path or path in file_path.parents for path in listed
    )
    if not (named or below):
        return None
    from sim.pytest_plugin.items import ScenarioFile, is_scenario

    # A folder of scenarios may hold studies and files that others extend.
    if not named and not is_scenario(file_path):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)
