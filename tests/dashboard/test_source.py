"""Rules of the dashboard's source that no page may break."""

from __future__ import annotations

import ast
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


def test_the_dashboard_runs_nothing() -> None:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                assert not name.startswith("sim.") or name.startswith(
                    ("sim.results", "sim.units", "sim.paths", "sim.errors")
                ), f"{file.name} imports {name}"
                assert name not in ("subprocess", "os.system", "importlib")
