"""The command: a real server on loopback, and what it says when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from sim.cli import main; main()", "dashboard"]
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5.0) as answer:
        return int(answer.status), answer.read()


def listening(port: int) -> set[str]:
    """Local addresses, as the kernel writes them, of sockets that listen on ``port``."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.rpartition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, str(made), "--port", str(port), "--headless"],
        cwd=made.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # printed once the server answers
    assert f"http://127.0.0.1:{port} " in first, process.communicate(timeout=10)
    assert str(made) in first
    yield process, port
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=20)


def test_it_serves_its_page_on_loopback_only(
    server: tuple[subprocess.Popen[str], int],
) -> None:
    _, port = server
    assert get(f"http://127.0.0.1:{port}/_stcore/health") == (200, b"ok")
    assert get(f"http://127.0.0.1:{port}/")[0] == 200
    if sys.platform == "linux":
        assert listening(port) == {"0100007F"}


def test_a_foreign_host_gets_no_socket(server: tuple[subprocess.Popen[str], int]) -> None:
    _, port = server
    request = (
        "GET /_stcore/stream HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as line:
        line.sendall(request.encode())
        assert b" 403 " in line.recv(200)


def test_a_taken_port_is_refused_in_words(
    server: tuple[subprocess.Popen[str], int], made: Path
) -> None:
    _, port = server
    done = refused(str(made), "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"port {port} is taken or not allowed; choose another --port, or leave it out\n"
    )


def test_ctrl_c_ends_it_and_frees_the_port(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors.strip() == "stopped"
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        try:
            get(f"http://127.0.0.1:{port}/_stcore/health")
        except urllib.error.URLError:
            return
        time.sleep(0.1)
    pytest.fail("the server outlived its command")


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments, "--headless"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_missing_folder_says_what_to_run_first(tmp_path: Path) -> None:
    done = refused(str(tmp_path / "gone"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"there is no folder {tmp_path / 'gone'}; make a run first: "
        "rackplan run scenarios/quickstart.yaml\n"
    )


def test_a_file_is_not_a_folder_of_runs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = refused(str(file))
    assert done.returncode == 2
    assert done.stderr == f"{file} is a file; give the folder that holds the run folders\n"


def test_a_run_folder_itself_opens_its_parent_at_that_run(made: Path) -> None:
    from sim.cli.dashboard import _root

    assert _root(made / "two") == (made.resolve(), "two")
    assert _root(made) == (made.resolve(), "")


def test_the_command_loads_no_streamlit() -> None:
    code = "import sys, sim.cli.dashboard; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
