"""Fetching by address and checksum, from a server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sim.errors import RackplanError, UnknownName
from sim.workload.fetch import PublicTrace, fetch, public_trace, public_traces

CONTENT = b"arrival_s,input_tokens,output_tokens\n0.5,10,3\n"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without writing a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[PublicTrace]:
    """A trace at an address of this machine."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "trace.csv").write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield PublicTrace(
            name="mine", about="", address=f"http://127.0.0.1:{server.server_port}/trace.csv",
            file="mine.csv", format="csv", bytes=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(), licence="",
        )  # fmt: skip
        server.shutdown()
        thread.join()


def test_it_comes_once(served: PublicTrace, tmp_path: Path) -> None:
    assert fetch(served, tmp_path / "traces") == (tmp_path / "traces" / "mine.csv", True)
    assert (tmp_path / "traces" / "mine.csv").read_bytes() == CONTENT
    assert fetch(served, tmp_path / "traces")[1] is False


@pytest.mark.parametrize("size", [3, len(CONTENT)])
def test_another_content_is_not_kept(served: PublicTrace, tmp_path: Path, size: int) -> None:
    wrong = replace(served, sha256="0" * 64, bytes=size)
    with pytest.raises(RackplanError, match="it was not kept"):
        fetch(wrong, tmp_path / "traces")
    assert not (tmp_path / "traces").exists()


def test_a_file_in_its_place_is_left_alone(served: PublicTrace, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(RackplanError, match="is there already and is not mine"):
        fetch(served, tmp_path)
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_an_address_that_cannot_be_reached(served: PublicTrace, tmp_path: Path) -> None:
    missing = replace(served, address=served.address + ".gone")
    with pytest.raises(RackplanError, match=r"cannot be reached \(.*\); fetch it by other means"):
        fetch(missing, tmp_path)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'azure-code'"):
        public_trace("azure-cod")


def test_the_addresses_hold_the_files_that_the_tests_know(shared_data: Path) -> None:
    for trace in public_traces().values():
        content = (shared_data / "traces" / trace.file).read_bytes()
        assert len(content) == trace.bytes
        assert hashlib.sha256(content).hexdigest() == trace.sha256
