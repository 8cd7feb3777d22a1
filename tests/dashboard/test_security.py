"""Attacks on every page: crafted names, manifests, tables, links, and what the server lets in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import pages
from dashboard.listing import list_results
from sim.cli.dashboard import _FLAGS
from tests.dashboard.conftest import damage, texts
from tests.dashboard.hostile import BEACON, MARKS, hostile_run, markup, mentions
from tests.dashboard.test_command import COMMAND, ROOT, free_port

App = Callable[..., AppTest]


#: Pages that are merged later are attacked as well.
PAGES = [name for name, _ in pages.PAGES]


@pytest.fixture(scope="module")
def attacked(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one run, ``evil``, whose every name and text is an attack."""
    root = tmp_path_factory.mktemp("attacked") / "runs"
    root.mkdir()
    hostile_run(made / "two", root / "evil")
    return root


@pytest.mark.parametrize("page", PAGES)
def test_text_of_files_is_markup_on_no_page(app: App, attacked: Path, page: str) -> None:
    shown = app(attacked, page, run="evil")
    assert not shown.exception
    assert "evil cannot be shown" not in texts(shown)
    assert markup(shown) == []


def test_the_attacks_do_reach_the_pages(app: App, attacked: Path) -> None:
    assert mentions(app(attacked, "overview", run="evil")) > 3
    assert mentions(app(attacked, "scenario", run="evil")) > 3


def test_the_search_for_markup_finds_it() -> None:
    """What the tests above look for is there, where a page does put such text into markdown."""

    def script(text: str) -> None:
        import streamlit as st

        st.text(text)
        st.selectbox("fine", [text])
        st.button(text)
        st.text("fine", help=text)
        st.metric("fine", 1, help=text)
        st.tabs([text])

    page = AppTest.from_function(script, args=(BEACON,)).run()
    assert len(markup(page)) == 4
    assert all(mark in BEACON for mark in MARKS)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("run", ["../../etc/passwd", f"x{BEACON}"], ids=["path", "text"])
def test_a_name_from_the_url_leads_nowhere(app: App, made: Path, page: str, run: str) -> None:
    keys = ("from", "form", "t", "a", "b", "study", "plan", "workload", "node")
    shown = app(made, page, run=run, **dict.fromkeys(keys, run))
    assert not shown.exception
    assert markup(shown) == []
    assert not any("root:x:0" in text for text in texts(shown))
    for box in shown.selectbox:
        assert box.value != run


_MANIFESTS = {
    "cut": b'{"format": 5, "outcome": "comp',
    "list": b"[1, 2]",
    "deep": b"[" * 200_000,
    "nul": b"\0\0\0",
    "not-text": b"\xff\xfe\x00",
    "number": b"1e999",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one run for each manifest that no run writes."""
    root = tmp_path_factory.mktemp("broken") / "runs"
    for name, content in _MANIFESTS.items():
        (root / name).mkdir(parents=True)
        (root / name / "manifest.json").write_bytes(content)
    (root / "large").mkdir()
    with (root / "large" / "manifest.json").open("wb") as stream:
        stream.truncate(33 << 20)
    return root


@pytest.mark.parametrize("name", [*_MANIFESTS, "large"])
def test_a_broken_manifest_is_told_in_a_line(app: App, broken: Path, name: str) -> None:
    shown = app(broken, "overview", run=name)
    assert not shown.exception
    said = texts(shown)
    (place,) = (place for place, text in enumerate(said) if text == f"{name} cannot be shown")
    assert "\n" not in said[place + 1]
    assert "manifest.json" in said[place + 1]
    assert not any("Traceback" in text for text in said)


@pytest.mark.parametrize("page", PAGES)
def test_a_broken_manifest_breaks_no_page(app: App, broken: Path, page: str) -> None:
    for name in ("deep", "list"):
        shown = app(broken, page, run=name)
        assert not shown.exception, name
        assert not any("Traceback" in text for text in texts(shown))


@pytest.mark.parametrize("page", PAGES)
def test_links_out_of_the_root_are_not_followed(
    app: App, made: Path, tmp_path: Path, page: str
) -> None:
    """A manifest, a metrics file and a table that are links to files elsewhere; a linked run."""
    root = tmp_path / "runs"
    for name in ("manifest", "metrics", "table"):
        shutil.copytree(made / "complete", root / name)
    for name in ("manifest", "metrics"):
        file = root / name / f"{name}.json"
        file.unlink()
        file.symlink_to("/etc/passwd")
    outside = tmp_path / "outside"
    shutil.move(root / "table" / "requests", outside)
    (root / "table" / "requests").symlink_to(outside)
    (root / "linked").symlink_to(made / "two")
    listing = list_results(root)
    assert set(listing.kinds) == {"metrics", "table"}
    for name in listing.kinds:
        shown = app(root, page, run=name)
        assert not shown.exception
        assert not any("root:x:0" in text for text in texts(shown))


_FOREIGN = {"a": [None, {"b": 3}]}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "keys",
    [
        ("inputs", "sources", "calibration", "written", "costs", "facility", "network"),
        ("resolved", "versions", "definitions"),
        ("expectations", "warnings"),
    ],
    ids=["beside", "inside", "lists"],
)
def test_a_manifest_of_foreign_values_breaks_no_page(
    app: App, runs: Path, page: str, keys: tuple[str, ...]
) -> None:
    damage(runs, lambda manifest: manifest.update(dict.fromkeys(keys, _FOREIGN)))
    shown = app(runs, page, run="complete")
    assert not shown.exception
    assert texts(shown)


@pytest.mark.parametrize("page", ["scenario", "run", "compare", "floor"])
def test_a_scenario_nested_as_none_is_breaks_no_page(app: App, runs: Path, page: str) -> None:
    """It can be read as JSON and not be written as YAML."""
    damage(runs, lambda manifest: manifest.update(written="DEEP", resolved={"a": "DEEP"}))
    file = runs / "complete" / "manifest.json"
    deep = '{"a":' * 900 + "1" + "}" * 900
    file.write_text(file.read_text().replace('"DEEP"', deep))
    shown = app(runs, page, run="complete", a="complete", b="complete")
    assert not shown.exception
    assert texts(shown)


@pytest.mark.parametrize(
    "flag",
    [
        "--server.address=127.0.0.1",
        "--server.allowedHosts=127.0.0.1",
        "--server.allowedHosts=localhost",
        "--server.maxUploadSize=2",
        "--server.fileWatcherType=none",
        "--server.enableStaticServing=false",
        "--server.enableCORS=true",
        "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
        "--client.toolbarMode=minimal",
        "--global.developmentMode=false",
    ],
)
def test_the_server_is_started_shut(flag: str) -> None:
    """The command line wins over files and variables of the user."""
    assert flag in _FLAGS
    name = flag.partition("=")[0]
    assert {given for given in _FLAGS if given.startswith(name)} <= {
        flag, "--server.allowedHosts=127.0.0.1", "--server.allowedHosts=localhost",
    }  # fmt: skip


@pytest.fixture(scope="module")
def port(made: Path) -> Iterator[int]:
    """A server, started as the command does it."""
    number = free_port()
    process = subprocess.Popen(
        [*COMMAND, str(made), "--port", str(number), "--headless"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Dashboard of ")
    yield number
    process.terminate()
    process.communicate(timeout=20)


def status(request: urllib.request.Request) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5.0) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nothing_is_uploaded_without_a_token(port: int) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.yaml"\r\n\r\nx\r\n--b--\r\n'
    )
    url = f"http://127.0.0.1:{port}/_stcore/upload_file/session/file"
    for method in ("PUT", "POST", "DELETE"):
        request = urllib.request.Request(
            url, data=body, method=method,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )  # fmt: skip
        assert 400 <= status(request) < 500, method


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", True),
        ("localhost:{port}", "http://localhost:{port}", True),
        ("127.0.0.1:{port}", "http://evil.example", False),
        ("evil.example", "http://evil.example", False),
        ("evil.example:{port}", "http://127.0.0.1:{port}", False),
    ],
)
def test_the_socket_opens_for_this_machine_only(
    port: int, host: str, origin: str, allowed: bool
) -> None:
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).format(port=port)
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as line:
        line.sendall(request.encode())
        answer = line.recv(200)
    assert answer.startswith(b"HTTP/1.1 101 " if allowed else b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/static/../../../etc/passwd",
     "/app/static/../../../../etc/passwd", "/media/../../../etc/passwd",
     "/%2e%2e/%2e%2e/etc/passwd"],
)  # fmt: skip
def test_no_path_of_a_url_reads_a_file(port: int, path: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while part := line.recv(65536):
            answer += part
    assert b"root:" not in answer
