"""The measured kernels, where they are there: for tests of the fits in data/calibration."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sim.perf.calibration import read_tree

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT.parent / "shared" / "data" / "kernels"


def table(name: str) -> Path:
    """The file, or a skip that names it."""
    if not (FOLDER / name).exists():
        pytest.skip(f"no {FOLDER / name}")
    return FOLDER


def tool(name: str) -> ModuleType:
    """A module of ``tools``."""
    folder = str(ROOT / "tools")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)


def recorded(kernel: str) -> Mapping[str, Any]:
    """The record of one kernel."""
    lines = read_tree("calibration", "layers.yaml")["record"]["kernels"]
    return next(line for line in lines if line["kernel"] == kernel)
