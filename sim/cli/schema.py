"""``rackplan schema``: the JSON Schema of scenario files, for editors that complete and check."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON Schema of scenario files (for the YAML support of an editor)."""
    from sim.check.schema import scenario_schema

    print(json.dumps(scenario_schema(), indent=2))
