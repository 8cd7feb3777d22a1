"""Fetching by address and checksum, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sim.catalog.public import PublicFile, fetch, public_file, public_files, public_folder
from sim.errors import RackplanError, UnknownName

CONTENT = b"arrival_s,input_tokens,output_tokens\n0.5,10,3\n"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without writing a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[PublicFile]:
    """A trace at an address of this machine."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "trace.csv").write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield PublicFile(
            name="mine", kind="trace", about="", address=f"http://127.0.0.1:{server.server_port}/trace.csv",
            file="mine.csv", format="csv", bytes=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(), licence="",
        )  # fmt: skip
        server.shutdown()
        thread.join()


def test_it_comes_once(served: PublicFile, tmp_path: Path) -> None:
    assert fetch(served, tmp_path / "traces") == (tmp_path / "traces" / "mine.csv", True)
    assert (tmp_path / "traces" / "mine.csv").read_bytes() == CONTENT
    assert fetch(served, tmp_path / "traces")[1] is False


@pytest.mark.parametrize("size", [3, len(CONTENT)])
def test_another_content_is_not_kept(served: PublicFile, tmp_path: Path, size: int) -> None:
    wrong = replace(served, sha256="0" * 64, bytes=size)
    with pytest.raises(RackplanError, match="it was not kept"):
        fetch(wrong, tmp_path / "traces")
    assert not (tmp_path / "traces").exists()


def test_a_file_in_its_place_is_left_alone(served: PublicFile, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(RackplanError, match="is there already and is not mine"):
        fetch(served, tmp_path)
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_an_address_that_cannot_be_reached(served: PublicFile, tmp_path: Path) -> None:
    missing = replace(served, address=served.address + ".gone")
    with pytest.raises(
        RackplanError, match=r"cannot be reached \(.*\): without a network, bring the file by"
    ):
        fetch(missing, tmp_path)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'azure-code'"):
        public_file("azure-cod")


def test_where_to_put_a_file_that_cannot_be_fetched(served: PublicFile, tmp_path: Path) -> None:
    missing = replace(served, address=served.address + ".gone")
    with pytest.raises(RackplanError) as caught:
        fetch(missing, tmp_path)
    assert str(tmp_path / "mine.csv") in str(caught.value)
    (tmp_path / "mine.csv").write_bytes(CONTENT)
    assert fetch(missing, tmp_path) == (tmp_path / "mine.csv", False)


def test_files_are_kept_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert public_folder() == Path("/somewhere/rackplan/public")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert public_folder() == Path("/home/me/.cache/rackplan/public")


def test_the_addresses_hold_the_files_that_the_tests_know(shared_data: Path) -> None:
    for one in public_files().values():
        file = shared_data / ("traces" if one.kind == "trace" else "fgd") / one.file
        packed = file.with_name(f"{file.name}.gz")
        content = file.read_bytes() if file.exists() else gzip.decompress(packed.read_bytes())
        assert len(content) == one.bytes
        assert hashlib.sha256(content).hexdigest() == one.sha256
