"""``rackplan dashboard``: look at results in a browser, on this machine only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from sim.errors import RackplanError
from sim.paths import share

ADDRESS = "127.0.0.1"
_FIRST_PORT = 8501
_PORTS_TRIED = 50
_START_S = 60.0  # a cold start reads some hundred MB of libraries from disk
_POLL_S = 0.1
_STOP_S = 5.0

#: On the command line, where they win over any file or variable of the user: what is on one
#: machine's screen stays there, nothing is uploaded, fetched or reported.
_FLAGS = (
    f"--server.address={ADDRESS}",
    f"--server.allowedHosts={ADDRESS}",
    "--server.allowedHosts=localhost",
    "--server.headless=true",
    "--server.maxUploadSize=2",
    "--server.fileWatcherType=none",
    "--server.runOnSave=false",
    "--runner.magicEnabled=false",  # pages say what they show; rewriting them takes time
    "--server.enableStaticServing=false",
    "--server.enableCORS=true",
    "--server.enableXsrfProtection=true",
    "--browser.gatherUsageStats=false",
    "--client.showErrorDetails=none",
    "--client.showErrorLinks=false",
    "--client.toolbarMode=minimal",
    "--global.developmentMode=false",
    "--logger.level=error",
    "--logger.enableRich=false",  # which would write to standard output
)


def dashboard(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="folder of run folders, or one run folder")
    ] = Path("runs"),
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65_535, help="default: the first free one from 8501"),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="do not open a browser")] = False,
) -> None:
    """Open the dashboard over the results in RUNS. It listens on this machine only; Ctrl-C ends it.

    Exits with 2 if there is no such folder or the port is taken.
    """
    root, first = _root(runs)
    chosen = _port(port)
    url = f"http://{ADDRESS}:{chosen}"
    app = share("dashboard") / "app.py"
    with _server(app, chosen, root, first) as server:
        _wait_until_ready(server, url)
        print(f"Dashboard of {root}: {url} (Ctrl-C ends it)", flush=True)
        if not headless:
            import webbrowser

            webbrowser.open(url)
        code = server.wait()
    raise RackplanError(f"the dashboard ended by itself (exit code {code})")


def _root(runs: Path) -> tuple[Path, str]:
    """The folder of runs, and the run to show first if ``runs`` is one itself."""
    hint = "make a run first: rackplan run scenarios/quickstart.yaml"
    if not runs.exists():
        raise RackplanError(f"there is no folder {runs}; {hint}")
    if not runs.is_dir():
        raise RackplanError(f"{runs} is a file; give the folder that holds the run folders")
    root = runs.resolve()
    if (root / "manifest.json").is_file():
        return root.parent, root.name
    try:
        empty = not any((entry / "manifest.json").is_file() for entry in root.iterdir())
    except OSError as error:
        raise RackplanError(f"the folder {runs} cannot be read: {error.strerror}") from error
    if empty:
        print(f"{runs} holds no result yet; {hint}", file=sys.stderr)
    return root, ""


def _port(asked: int | None) -> int:
    """A port that is free: the one asked for, or the first from 8501 on."""
    if asked is not None:
        if not _is_free(asked):
            raise RackplanError(
                f"port {asked} is taken or not allowed; choose another --port, or leave it out"
            )
        return asked
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED):
        if _is_free(port):
            return port
    raise RackplanError(
        f"ports {_FIRST_PORT} to {_FIRST_PORT + _PORTS_TRIED - 1} are all taken; choose a --port"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server itself: a port whose last connection has only just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _server(app: Path, port: int, root: Path, first: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server as a child process; Ctrl-C and SIGTERM end it, and so does any error here."""
    # -P: modules in the current folder do not shadow libraries. The app's own package is found by
    # its path instead.
    command = [sys.executable, "-P", str(app.with_name("serve.py")), str(app), *_FLAGS]
    command.append(f"--server.port={port}")
    paths = [str(app.parents[1]), str(Path(__file__).resolve().parents[2])]
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "RACKPLAN_RUNS": str(root),
        "RACKPLAN_RUN": first,
        "PYTHONPATH": os.pathsep.join([*paths, *([inherited] if inherited else [])]),
    }
    # Its own session, so that a Ctrl-C reaches this process alone, which then ends the child.
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield server
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        raise typer.Exit(0) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        _stop(server)


def _as_interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    import urllib.request

    # Without the user's proxies: this is a call to the machine itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RackplanError(
                f"the dashboard did not start (exit code {server.returncode}); "
                "what it said is above"
            )
        with (
            contextlib.suppress(OSError),  # URLError is one
            opener.open(f"{url}/_stcore/health", timeout=1.0) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(_POLL_S)
    raise RackplanError(f"the dashboard did not answer at {url} within {_START_S:.0f} s")
