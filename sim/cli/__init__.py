"""The command line: one file per command. Results on stdout, progress and messages on stderr.

Exit codes: 0 fine; 1 an ``expect:`` line failed; 2 the input is wrong; 3 an internal error.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``rackplan``: run a command, turn errors into messages and exit codes."""
    from sim.cli.app import app
    from sim.errors import RackplanError, SimulationError

    try:
        app()
    except SimulationError as error:
        print(f"the simulation cannot go on: {error}", file=sys.stderr)
        sys.exit(3)
    except RackplanError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception:  # Whatever reaches this line is a defect of rackplan, not of the input.
        import traceback

        traceback.print_exc()
        print("internal error of rackplan: please report the lines above", file=sys.stderr)
        sys.exit(3)
