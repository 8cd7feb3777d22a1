"""The file: what is written can be read, a stopped run goes on, and faults are named by place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.calibrate import session
from sim.calibrate.kernel import Kernel
from sim.calibrate.order import Order
from sim.calibrate.plan import candidates
from sim.calibrate.read import Calibration, read
from sim.calibrate.record import Writer
from sim.calibrate.session import Outcome, check_same
from sim.calibrate.settings import Settings
from sim.errors import DataError, RackplanError
from tests.unit.calibrate.made_up import MadeUpDevice

SETTINGS = Settings(least_sample_s=20e-6)


def start(path: Path, device: MadeUpDevice, seconds: float) -> Outcome:
    order = Order(candidates(0), device.refuses)
    writer = Writer.new(path, device.identity, SETTINGS, order)
    return session.run(device, writer, order, SETTINGS, seconds / 60)


def resume(path: Path, device: MadeUpDevice, seconds: float) -> Outcome:
    order = Order(candidates(0), device.refuses, read(path).known)
    return session.run(device, Writer.resume(path), order, SETTINGS, seconds / 60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrate") / "made-up.jsonl"
    start(path, MadeUpDevice(), 2.0)
    return path


def test_what_was_measured_can_be_read(whole: Path) -> None:
    device, file = MadeUpDevice(), read(whole)
    assert file.identity == device.identity
    assert len(file.timed) > 20
    assert file.sessions == 1
    assert not file.torn
    for timed in file.timed:
        true_s = device.true_s(timed.kernel)
        assert timed.cases["cold"].median == pytest.approx(true_s, rel=0.02)
        assert timed.throttled == ()
    assert any(entry["reason"] == "only fp32" for entry in file.refused)


def test_raw_samples_have_their_sensors_beside_them(whole: Path) -> None:
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    assert [next(iter(line)) for line in lines[:3]] == ["header", "session", "measured"]
    for line in lines[2:]:
        for case in line["measured"]["cases"].values():
            assert len(case["seconds"]) >= 5
            assert case["sensors"]["clock_hz"] == [1e9] * len(case["seconds"])
            assert "power_w" not in case["sensors"]  # the header says why
    assert lines[0]["header"]["device"]["unread"] == {"power_w": "no sensor"}


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    device = MadeUpDevice()
    path = tmp_path / "a.jsonl"
    first = start(path, device, 1.0)
    second = resume(path, device, 1.0)
    file = read(path)
    kernels = [timed.kernel for timed in file.timed]
    assert len(kernels) == len(set(kernels)) == len(first.measured) + len(second.measured)
    assert file.sessions == 2
    assert len(second.measured) > 5


def test_a_killed_run_loses_only_what_was_under_way(tmp_path: Path) -> None:
    """A process that measures this CPU is killed without warning; its file is sound and goes on."""
    path = tmp_path / "killed.jsonl"
    code = (
        "from sim.cli import main; import sys; "
        f"sys.argv = ['rackplan', 'calibrate', '--device', 'cpu', '--out', {str(path)!r}]; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while not path.exists() or path.read_bytes().count(b"measured") < 4:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = read(path)
    assert len(before.timed) >= 3
    with path.open("ab") as stream:  # as if the kill had come in the middle of a write
        stream.write(b'{"measured":{"kind":"gemm"')
    assert read(path).torn
    Writer.resume(path)
    after = read(path)
    assert not after.torn
    assert after.timed == before.timed


def test_ctrl_c_keeps_what_has_a_median(tmp_path: Path) -> None:
    device = MadeUpDevice(noise=0.2)
    calls = 0
    plain = device.time

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 400:
            raise KeyboardInterrupt
        return plain(*arguments)

    device.time = interrupted  # type: ignore[method-assign]
    outcome = start(tmp_path / "a.jsonl", device, 1000.0)
    assert outcome.ended == "stopped by Ctrl-C"
    assert len(outcome.measured) == SETTINGS.group  # all under way, none had converged
    assert len(read(tmp_path / "a.jsonl").timed) == SETTINGS.group


def test_failed_kernels_are_in_the_file_and_not_tried_again(tmp_path: Path) -> None:
    device = MadeUpDevice(broken=lambda kernel: kernel.kind == "triad")
    path = tmp_path / "a.jsonl"
    start(path, device, 1.0)
    failed = [kernel for kernel, _ in read(path).failed]
    assert failed
    device.broken = lambda kernel: False
    resume(path, device, 1.0)
    assert not {t.kernel for t in read(path).timed} & set(failed)


def test_another_device_or_library_is_refused(whole: Path) -> None:
    file, here = read(whole), MadeUpDevice().identity
    check_same(file, here)
    for other, message in (
        (replace(here, name="Another"), "the device was Made-up 9000 and is Another here"),
        (replace(here, driver="2"), "the driver was driver 1 and is 2 here"),
        (replace(here, libraries={"library": "2"}), "library was 1.0 and is 2 here"),
    ):
        with pytest.raises(RackplanError, match=message):
            check_same(file, other)


def test_a_file_is_never_overwritten(whole: Path) -> None:
    with pytest.raises(RackplanError, match=r"is there already: --resume .* --out names another"):
        start(whole, MadeUpDevice(), 1.0)


Change = Callable[[dict[str, Any]], None]


def _at(*path: str | int, value: Any) -> Change:
    def change(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = value

    return change


def _without(*path: str | int) -> Change:
    def change(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        del body[path[-1]]

    return change


def _odd_throttle(body: Any) -> None:
    warm = body["measured"]["cases"]["warm"]
    warm["sensors"]["throttle"] = [3] * len(warm["seconds"])


WARM = ("measured", "cases", "warm")
FAULTS: list[tuple[int, Change, str]] = [
    (0, _at("header", "version", value=2),
     "1: header.version: is 2; this rackplan reads version 1"),
    (0, _without("header", "settings"), "1: header: lacks 'settings'"),
    (0, _without("header", "device", "name"), "1: header.device: lacks 'name'"),
    (0, _at("header", "device", "nam", value=1), "1: header.device: has unknown 'nam'"),
    (0, _at("header", "device", "memory_bytes", value=-1),
     "1: header.device.memory_bytes: must be a positive number, not -1"),
    (2, _at("measured", "kind", value="gem"),
     "3: measured.kind: unknown kernel 'gem' (did you mean 'gemm'?)"),
    (2, _at("measured", "dtype", value="fp31"), "3: measured.dtype: unknown data type 'fp31'"),
    (2, _at("measured", "sizes", value={"byte": 1}), "3: measured.sizes: must be bytes"),
    (2, _at("measured", "sizes", "bytes", value=1.5),
     "3: measured.sizes.bytes: must be a whole number, not 1.5"),
    (2, _without("measured", "cases", "cold"), "3: measured.cases: must be warm and cold"),
    (2, _at(*WARM, "seconds", 2, value="fast"),
     "3: measured.cases.warm.seconds[2]: must be a positive number, not 'fast'"),
    (2, _at(*WARM, "seconds", value=[]), "3: measured.cases.warm.seconds: has no samples"),
    (2, _at(*WARM, "sensors", "clock_hz", value=[1.0]),
     "3: measured.cases.warm.sensors.clock_hz: must be"),
    (2, _odd_throttle,
     "3: measured.cases.warm.sensors.throttle: must be lists of reasons, or null"),
    (2, _at(*WARM, "median_s", value=1.0),
     "3: measured.cases.warm.median_s: is 1, but that of its samples is"),
    (2, _at("measured", "drifted", value="no"),
     "3: measured.drifted: must be true or false, not 'no'"),
    (1, _at("session", "minutes", value=0), "2: session.minutes: must be a positive number, not 0"),
]  # fmt: skip


def changed(whole: Path, folder: Path, line: int, change: Change) -> Path:
    lines = [json.loads(text) for text in whole.read_text().splitlines()]
    change(lines[line])
    file = folder / "broken.jsonl"
    file.write_text("".join(json.dumps(body) + "\n" for body in lines))
    return file


@pytest.mark.parametrize(("line", "change", "message"), FAULTS)
def test_faults_are_named_with_line_and_key(
    whole: Path, tmp_path: Path, line: int, change: Change, message: str
) -> None:
    file = changed(whole, tmp_path, line, change)
    with pytest.raises(DataError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}:{message}")


def _refused(file: Path, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(file)
    assert message in str(caught.value)


def test_other_files_are_refused(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    _refused(file, "cannot be read: No such file or directory")
    file.write_bytes(b"\xff\xfe\n")
    _refused(file, "it is not UTF-8 text")
    file.write_text("m,n,k\n")
    _refused(file, "other.jsonl:1: is not JSON: Expecting value at column 1")
    file.write_text('{"header":')
    _refused(file, "has no whole line")
    lines = whole.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[1:]))
    _refused(file, "1: session: the header must be the first line, and no other")
    file.write_text("".join([*lines[:3], lines[2]]))
    _refused(file, "4: measured: copy fp32 bytes=")
    file.write_text("".join([lines[0], '{"mesured":{}}\n']))
    _refused(file, "2: unknown kind of line 'mesured' (did you mean 'measured'?)")


def test_a_kernel_must_have_its_sizes() -> None:
    with pytest.raises(ValueError, match="no kernel"):
        Kernel("gemm", "bf16", (1, 2))


def test_the_calibration_knows_its_kernels(whole: Path) -> None:
    file: Calibration = read(whole)
    assert set(file.known) == {timed.kernel for timed in file.timed}
