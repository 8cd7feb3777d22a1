"""A metric that is defined and not computed is named."""

from __future__ import annotations

import dataclasses

import pytest

from sim.results import metrics
from tests.unit.results.by_hand import requests, run


@pytest.mark.parametrize("scope", metrics.SCOPES)
def test_a_definition_without_a_value_is_named(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    some = next(one for (where, _), one in metrics.DEFINITIONS.items() if where == scope)
    lone = dataclasses.replace(some, name="lone")
    monkeypatch.setattr(metrics, "DEFINITIONS", {**metrics.DEFINITIONS, (scope, "lone"): lone})
    message = f"^metric lone of scope {scope} has a definition and no value$"
    with pytest.raises(ValueError, match=message):
        _ = run(rows=requests(100)).metrics
