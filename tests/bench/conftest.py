"""One set of figures for a whole run of the benches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.figures import Figures, json_path


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Takes what is measured; at the end it is printed and written."""
    gathered = Figures()
    yield gathered
    gathered.write(json_path())
    print(f"\n\n{gathered.table()}\n\nwritten to {json_path()}")
