"""Policies in a Python file that the user names on the command line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from sim.errors import DataError
from sim.policies.base import policies


def load_policies(files: Iterable[Path]) -> tuple[str, ...]:
    """Import each file; the kinds of placement policies that are new by it.

    Raises:
        DataError: there is no such file, it cannot be imported, or it registers nothing.
    """
    before = set(policies("placement"))
    for i, file in enumerate(files):
        name = f"rackplan_policy_{i}_{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        if not file.is_file() or spec is None or spec.loader is None:
            raise DataError(str(file), "is not a Python file that can be read")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        known = set(policies("placement"))
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # a user's own code may fail in any way
            line = error.lineno or 0 if isinstance(error, SyntaxError) else 0
            raise DataError(str(file), f"{type(error).__name__}: {error}", line) from error
        if set(policies("placement")) == known:
            raise DataError(str(file), 'registers no policy: @register("placement", "its-kind")')
    return tuple(sorted(set(policies("placement")) - before))
