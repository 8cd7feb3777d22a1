"""Replicas of the compiled engine that fail, return, are taken away and brought back."""

from __future__ import annotations

from sim.engine.recorder import Recorder
from sim.kernels import layout, outage
from sim.kernels.followers import refresh_arrivals
from sim.kernels.state import Ints, State


class ReplicaControl:
    """The part of the compiled plane that takes replicas out of service and puts them back."""

    state: State
    recorder: Recorder
    _table: Ints

    def _drain(self) -> None:
        """Hand on what rows are filled."""
        raise NotImplementedError

    def _drain_power(self) -> None:
        """Hand on what rows the tree has filled."""
        raise NotImplementedError

    def _feed_orphans(self) -> None:
        """Load the followers of requests that have ended."""
        raise NotImplementedError

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down."""
        outage.begin_outage(self._table, replica, time_s)
        while outage.fail_next(self._table, replica, time_s):
            if self.state.all[0]["orphans"]:
                self._feed_orphans()
            if self.state.all[0]["rows"] >= len(self.state.out):
                self._drain()
        self._drain_power()
        outage.complete_outage(self._table, replica, gpu_mw, time_s)
        refresh_arrivals(self._table)

    def restore(self, replica: int, time_s: float) -> None:
        """A replica serves again."""
        self._drain_power()
        outage.end_outage(self._table, replica, time_s)

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica finishes what it holds, then it is down."""
        if outage.begin_drain(self._table, replica, gpu_mw, time_s):
            self._put_away(replica, time_s)

    def reopen(self, replica: int, time_s: float) -> None:
        """It takes requests again."""
        outage.end_drain(self._table, replica, time_s)

    def is_down(self, replica: int) -> bool:
        """Whether a replica serves nobody."""
        return bool(self.state.replica[replica]["down"])

    def _park(self) -> None:
        """``advance`` came to the moment when a replica has finished what it held."""
        whole = self.state.all[0]
        whole["fault"] = layout.DONE
        self._put_away(int(whole["faulty"]), float(whole["fault_s"]))

    def _put_away(self, replica: int, time_s: float) -> None:
        self._drain_power()
        outage.park(self._table, replica, time_s)
        self.recorder.parked(replica, time_s)
