"""One replica of the reference engine, as the plane sees it: what may be asked of it at any time.

What happens at its boundaries is ``engine.replica_run``.
"""

from __future__ import annotations

from sim.engine.environment import BOUNDARY
from sim.engine.replica_run import RunningReplica
from sim.engine.request import Request
from sim.kernels.layout import FOREVER_S
from sim.perf.step import ReplicaModel


class Replica(RunningReplica):
    """State of one replica, changed between its boundaries."""

    def enqueue(self, request: Request, time_s: float) -> None:
        """A request arrives; an idle replica wakes at a boundary at this very time."""
        self.batcher.waiting.add(request)
        self.count(time_s)
        self._look(time_s)

    def withdraw(self, request: Request, time_s: float) -> None:
        """Take a waiting request out, or let a running one leave at the next boundary."""
        if request.waiting:
            self.batcher.waiting.remove(request)
        elif request in self.batcher.incoming:
            self.release(request, time_s)
        else:
            request.cancelled = True
            self.batcher.leaving += 1
        self.count(time_s)
        if self.batch is None and not self.batcher.waiting:
            for integral in self.meters.blocked:
                integral.set(0.0, time_s)  # at rest no boundary comes to notice

    def release(self, request: Request, time_s: float) -> None:
        """The blocks of a prompt that has left, or that will not come in, are free again."""
        self.batcher.release(request)
        self.meters.kv_tokens.set(self.batcher.kv_tokens(), time_s)
        self._look(time_s)

    def take_in(self, request: Request, time_s: float) -> None:
        """The KV of a prompt is here: from the next boundary on the sequence decodes."""
        request.remote = request.reserved = False
        self._look(time_s)

    def _look(self, time_s: float) -> None:
        """An idle replica has a boundary at this very time; a busy one comes to its next anyway."""
        if self.batch is None and not self.boundary.triggered:
            self.env.schedule_at(self.boundary, time_s, BOUNDARY, self.index)

    def fail(self, gpu_mw: int, time_s: float) -> list[Request]:
        """Power is gone: nothing of the running iteration counts, nothing in KV is left.

        Returns the requests that fail with it: those that ran, then those that waited, then those
        between two pools, each in order.
        """
        batcher = self.batcher
        lost = [r for r in (*batcher.decoding, *batcher.prefilling) if not r.cancelled]
        while batcher.waiting:
            lost.append(batcher.waiting.pop())
        lost += [*batcher.parting, *batcher.incoming]
        self.boundary = self.env.put_off(self.boundary)
        self._go_down(gpu_mw, time_s)
        return lost

    def drain(self, gpu_mw: int, time_s: float) -> None:
        """Take no more requests, finish those that are here, then be down."""
        self.shut, self.parks_mw = True, gpu_mw
        if self.batch is None and not self.batcher.waiting and not self._between:
            # Blocks that have just been freed may have woken it: down, it has no boundary.
            self.boundary = self.env.put_off(self.boundary)
            self._park(gpu_mw, time_s)
        else:
            self._let_in(time_s)

    def reopen(self, time_s: float) -> None:
        """Take requests again, before all are finished."""
        self.shut, self.parks_mw = False, None
        self._let_in(time_s)

    def restore(self, time_s: float) -> None:
        """Power is back, and the LLM is loaded."""
        self.down = self.shut = False
        self.report_draw(time_s)

    def stand(self, model: ReplicaModel, gpu_mw: int) -> None:
        """It is down, and will be another model's on other GPUs, as at the beginning of a run."""
        self.model, self.draw_mw = model, gpu_mw
        self.level = self.lock = 0
        self.cap_mw = self.held_mw = None
        self.held, self.batcher.admits = False, True
        self.delay_s = self.next_delay_s = 0.0
        self.batcher.window = model.cost[0].window
        self.batcher.drop_cache(model.kv_blocks)

    def freeze(self, time_s: float) -> int:
        """Nothing of the running iteration goes on; tokens in KV of what runs, 0 at rest.

        What the cache keeps for nobody is lost.
        """
        self.batcher.drop_idle()
        if self.batch is None:
            return 0
        self.rest_s = self.end_s - time_s
        self._stretch(FOREVER_S, time_s)
        self._say_pace(0, time_s)
        self.report_draw(time_s)
        return self.batcher.kv_tokens()

    def thaw(self, time_s: float) -> None:
        """The frozen iteration goes on."""
        assert self.rest_s is not None
        rest_s, self.rest_s = self.rest_s, None
        self._stretch(rest_s, time_s)
        self.report_draw(time_s)

    def interrupt(self, time_s: float) -> None:
        """All that runs loses its KV and waits again, in front; what the cache keeps is lost."""
        if self.batch is not None:
            self._say_pace(0, time_s)
        self.boundary = self.env.put_off(self.boundary)
        self.batcher.preempt_all(self.model.kv_blocks)
        self.meters.preemptions = self.batcher.preemptions
        self.batch, self.plan, self.level, self.rest_s = None, (), self.lock, None
        self.count(time_s)
        meters = self.meters
        for integral in (*meters.blocked, meters.kv_tokens, meters.busy, meters.cap_bound):
            integral.set(0.0, time_s)
        self.report_draw(time_s)
        if self.batcher.waiting:
            self._look(time_s)

    def set_clock(self, level: int, time_s: float) -> None:
        """Lock the clock to a level."""
        if level != self.lock:
            self.lock = level
            self._retune(time_s)

    def set_delay(self, delay_s: float) -> None:
        """Each token takes so much longer from the next iteration on."""
        self.next_delay_s = delay_s

    def set_cap(self, cap_mw: int | None, time_s: float) -> None:
        """No GPU draws more than this, as far as its clock levels allow; None: no cap."""
        if cap_mw != self.cap_mw:
            self.cap_mw = cap_mw
            self._retune(time_s)

    def set_admission(self, admits: bool, held_mw: int | None, time_s: float) -> None:
        """Admit who waits at boundaries, or hold them; an idle replica wakes for them."""
        self.held, self.held_mw = not admits, held_mw
        if self.batch is None and not self.down:
            self._unload()
            self.report_draw(time_s)
        self._let_in(time_s)

    def _let_in(self, time_s: float) -> None:
        """Whether its batcher admits: one that is to be parked finishes what it has anyway."""
        self.batcher.admits = not self.held or self.parks_mw is not None
        idle = self.batch is None and not self.down
        if self.batcher.admits and idle and self.batcher.waiting and not self.boundary.triggered:
            self.env.schedule_at(self.boundary, time_s, BOUNDARY, self.index)

    def _retune(self, time_s: float) -> None:
        """Take the clock that lock and cap leave: draw changes now, what remains is rescaled.

        The running iteration becomes a run of its own of length one.
        """
        level = self._level_within()
        self.meters.cap_bound.set(float(level != self.lock), time_s)
        if level == self.level:
            return
        before = self.cost
        self.level = level
        if self.down:
            return
        if self.batch is not None:
            scale = self.cost.iteration_s(self.batch, self.delay_s) / before.iteration_s(
                self.batch, self.delay_s
            )
            if self.rest_s is not None:
                self.rest_s *= scale
            else:
                self._stretch((self.end_s - time_s) * scale, time_s)
        self.report_draw(time_s)

    def _stretch(self, rest_s: float, time_s: float) -> None:
        """The running iteration is a run of its own that has so much left."""
        self.plan = ()
        self.anchor_s, self.first_s, self.growth_s, self.steps = time_s, rest_s, 0.0, 0
        self.gap_is_elapsed = True
        self.end_s = self.boundary_s(1)
        self.boundary = self.env.move(self.boundary, self.end_s, BOUNDARY, self.index)
