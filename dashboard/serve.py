"""Starts the server: ``python serve.py app.py --flags``, as ``streamlit run`` with its arguments.

What pages import takes longer than a page: it is loaded while the browser starts.
"""

from __future__ import annotations

import gc
import pkgutil
import sys
import threading


def load() -> None:
    """Import what pages need; a page that is asked for before waits for what it needs itself."""
    from altair.utils.schemapi import disable_debug_mode

    # Each part of a chart would be checked against the schema as it is made; tests do that.
    disable_debug_mode()
    __import__("dashboard.shell")  # the first page begins with it
    from dashboard import ahead, charts, frames

    ahead.wanted = True
    ahead.read_first()
    for package in (frames, charts):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            __import__(module.name)
    # Streamlit looks for garbage before it sends the end of a page: what was imported is none. Of a
    # page that is under way some may be left for ever, once.
    gc.freeze()


def main() -> None:
    """Serve until the process is ended."""
    from streamlit.web.cli import main as streamlit

    # Whoever ends the server waits for it: a library that is cut off in the middle complains.
    threading.Thread(target=load).start()
    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    streamlit()


if __name__ == "__main__":
    main()
