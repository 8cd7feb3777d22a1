"""What tests give workers to do, and executors and results made by hand."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

from sim.results.metrics import Metric, lookup
from sim.study.executor import Failure, Outcome, Report, Task, Work

TINY = """
rackplan: 1
name: tiny
duration: 10 s
warm_up: 2 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 1}]}]}]}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 2}]
workload: [{name: chat, pool: chat, source: synthetic-chat, rate: 4 /s, slo: {ttft: 2 s}}]
expect: [chat.ttft_p99 <= 2 s]
"""


def scenario_file(folder: Path) -> Path:
    """A scenario whose run takes a fraction of a second."""
    file = folder / "tiny.yaml"
    file.write_text(TINY)
    return file


def act(argument: tuple[str, int, Path], report: Report) -> Any:
    """Square a number, after doing what is asked; every start is a line in a log."""
    what, number, log = argument
    starts = _starts(log, number)
    report(0.5)
    if what == "die" or (what == "die once" and starts == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(3)
    if what == "raise":
        raise ValueError("no such thing\nsecond line")
    if what == "hang":
        time.sleep(600.0)
    if what == "unsendable":
        return local_object(number)
    if what == "wait":
        _wait_for_the_end(log)
    return number**2


def local_object(number: int) -> Any:
    """Something that cannot cross to another process."""
    return lambda: number


def _starts(log: Path, number: int) -> int:
    """Note a start with its process; how often this number was started."""
    with log.open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    return sum(line.split()[0] == str(number) for line in log.read_text().splitlines())


def _wait_for_the_end(log: Path) -> None:
    """Note that it waits, sleep until stopped, then note that the clean-up was reached."""
    with log.open("a") as file:
        try:
            print("waits", os.getpid(), file=file, flush=True)
            time.sleep(600.0)
        finally:
            print("clean", os.getpid(), file=file, flush=True)


def tick(argument: tuple[str, int, Path], report: Report) -> str:
    """Say at once that all is well, or report for ever; then note that the clean-up was reached."""
    what, number, log = argument
    with log.open("a") as file:
        print("waits" if what == "wait" else number, os.getpid(), file=file, flush=True)
        try:
            while what == "wait":
                report(0.5)
                time.sleep(0.01)
        finally:
            print("clean", os.getpid(), file=file, flush=True)
    return what


class InProcess:
    """An executor that runs tasks here, in a chosen order; some lose their worker for good.

    ``lazy``: in their own order, each taken when the one before has ended.
    """

    def __init__(
        self, *, backwards: bool = False, lost: Iterable[str] = (), lazy: bool = False
    ) -> None:
        self.backwards, self.lost, self.lazy = backwards, set(lost), lazy
        self.ran: list[str] = []

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for each task."""
        ordered = (
            sorted(tasks, key=lambda task: task.name, reverse=self.backwards)
            if (not self.lazy)
            else tasks
        )
        for task in ordered:
            self.ran.append(task.name)
            if task.name in self.lost:
                yield Outcome(task, failure=Failure("died", "its worker was killed by SIGKILL"))
            else:
                yield Outcome(task, work(task.argument, lambda share: None))


def metric(name: str, value: float | None, **changes: Any) -> Metric:
    """A metric of workload or pool "chat", of node "ups-a" or of the site."""
    definition = lookup(name, workloads=["chat", "code"], pools=["chat"], power_nodes=["ups-a"])
    reason = changes.pop("reason", "" if value is not None else "nothing to measure")
    return Metric(value, definition.unit, definition, reason, **changes)


def metrics(**values: float | None) -> dict[str, Metric]:
    """Metrics of workload chat by short name."""
    return {f"chat.{name}": metric(f"chat.{name}", value) for name, value in values.items()}


def folder_bytes(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder, by its place in it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
