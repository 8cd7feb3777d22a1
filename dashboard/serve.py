"""Starts the server: ``python serve.py app.py --flags``, as ``streamlit run`` with its arguments.

What pages import takes longer than a page: it is loaded while the browser starts.
"""

from __future__ import annotations

import sys
import threading


def load() -> None:
    """Import what every page needs; a page that comes first waits for the rest of it."""
    import dashboard.charts.overview
    import dashboard.frames.overview
    import dashboard.shell  # noqa: F401


def main() -> None:
    """Serve until the process is ended."""
    from streamlit.web.cli import main as streamlit

    threading.Thread(target=load, daemon=True).start()
    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    streamlit()


if __name__ == "__main__":
    main()
