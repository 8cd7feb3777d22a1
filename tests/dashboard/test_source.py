"""Rules of the dashboard's source that no page may break."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "dashboard"
FILES = sorted(FOLDER.rglob("*.py"))
#: Calls that render markdown or HTML, or take text of a user as code.
BANNED = {"markdown", "write", "caption", "error", "warning", "info", "success", "toast", "badge",
          "subheader", "header", "title", "radio", "pills", "segmented_control", "table", "eval",
          "exec", "link_button", "latex", "components"}  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_no_page_renders_text_as_markup(file: Path) -> None:
    tree = ast.parse(file.read_text())
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "st"
    }
    assert not called & BANNED
    assert "unsafe_allow_html" not in file.read_text()
    assert "unsafe_allow_javascript" not in file.read_text()


def test_html_is_one_constant() -> None:
    uses = [
        (file.name, ast.unparse(node))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.html"
    ]
    assert uses == [("style.py", "st.html(_STYLE)")]


#: Files that may start processes.
STARTERS: set[str] = {"jobs.py"}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_only_the_starter_of_runs_starts_processes(file: Path) -> None:
    forbidden = {"subprocess", "multiprocessing", "importlib", "pickle"}
    if file.name in STARTERS:
        forbidden -= {"subprocess"}
    assert not imported(file) & forbidden


def test_no_page_loads_the_engine() -> None:
    """Kernels take seconds to load, and a page runs no scenario in its own process."""
    modules = [
        ".".join(("dashboard", *file.relative_to(FOLDER).with_suffix("").parts))
        for file in FILES
        if "views" not in file.parts and file.name not in ("app.py", "__init__.py")
    ]
    views = [name for file in FILES if "views" in file.parts for name in sorted(imported(file))]
    wanted = [*modules, *(name for name in views if name.startswith(("sim.", "dashboard.")))]
    code = (
        f"import importlib, sys\nfor name in {wanted!r}: importlib.import_module(name)\n"
        "print(sorted({'numba', 'simpy', 'sim.engine'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=FOLDER.parent, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
