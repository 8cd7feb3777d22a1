"""The command line: one file per command. Results on stdout, progress and messages on stderr.

Exit codes: 0 fine; 1 an ``expect:`` line failed; 2 the input is wrong; 3 an internal error; 130
stopped by Ctrl-C.
"""

from __future__ import annotations

import gc
import io
import sys


def main() -> None:
    """Entry point of ``rackplan``: run a command, turn errors into messages and exit codes."""
    # Imports make many objects that stay: looking for garbage among them takes a tenth of a start.
    gc.set_threshold(100_000)
    from sim.errors import RackplanError, SimulationError

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A µ or a file's odd name must not end the output of a terminal without Unicode.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from sim.cli.app import app  # here, so that Ctrl-C while it loads ends without a traceback

        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except SimulationError as error:
        print(f"the simulation cannot go on: {error}", file=sys.stderr)
        sys.exit(3)
    except RackplanError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a closed pipe: of the machine, not of the input
        print(f"{error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(3)
    except Exception:  # Whatever reaches this line is a defect of rackplan, not of the input.
        import traceback

        traceback.print_exc()
        print("internal error of rackplan: please report the lines above", file=sys.stderr)
        sys.exit(3)
