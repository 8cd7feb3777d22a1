"""What really happens in random cases in which one pool prefills and another decodes."""

from __future__ import annotations

import math

from sim.engine.replica import Replica
from sim.engine.request import DECODES, PREFILLS, Request
from tests.property.features import WatchedPlane, beside


class WatchedHandover(WatchedPlane):
    """Notes what happens between two pools."""

    def _hand_over(self, request: Request, now_s: float) -> None:
        ended = request.ended
        super()._hand_over(request, now_s)
        twin = request.twin
        self.note(
            ended_at_the_end_of_its_prefill=ended,
            refused_by_the_other_pool=not ended and twin is None,
            waits_at_a_replica_at_work=twin is not None
            and self.replicas[twin.replica].batch is not None,
            wakes_a_replica=twin is not None and self.replicas[twin.replica].batch is None,
        )

    def reserved(self, request: Request, time_s: float) -> None:
        """Blocks are taken for a prompt, at once or after a wait."""
        replica = self.replicas[request.replica]
        self.note(
            waited_for_room=time_s > request.prefilled_s,
            several_have_room_at_once=len(replica.batcher.reserved) > 1,
            room_while_others_decode=bool(replica.batcher.decoding),
            room_before_the_prefill_ends=math.isnan(request.prefilled_s),
        )
        super().reserved(request, time_s)

    def arrived(self, handle: int, time_s: float) -> None:
        """KV is there."""
        request = self.live[handle]
        assert request.twin is not None
        source, target = (self.replicas[one.replica] for one in (request.twin, request))
        self.note(
            arrives_at_rest=target.batch is None,
            arrives_at_a_boundary=target.batch is not None and target.end_s == time_s,
            arrives_beside_a_boundary=target.batch is not None and beside(target, time_s),
            arrives_in_a_run=target.batch is not None and target.steps > 0,
            several_arrive_before_a_boundary=any(not r.remote for r in target.batcher.incoming),
            frees_blocks_at_a_boundary=source.batch is not None and source.end_s == time_s,
            frees_blocks_in_an_iteration=source.batch is not None and source.end_s > time_s,
            frees_blocks_at_rest=source.batch is None,
            frees_blocks_somebody_waits_for=bool(source.batcher.waiting),
            arrives_at_a_replica_that_admits_nobody=not target.batcher.admits,
        )
        super().arrived(handle, time_s)

    def lose(self, handle: int, time_s: float) -> None:
        """KV never comes."""
        self.note(
            kv_is_lost=True,
            kv_is_lost_before_the_prefill_ends=math.isnan(self.live[handle].prefilled_s),
        )
        super().lose(handle, time_s)

    def _withdraw(self, request: Request, outcome: str, now_s: float) -> None:
        self.note(**{f"{outcome.replace('-', '_')}_{self._state(request)}": True})
        super()._withdraw(request, outcome, now_s)

    def _state(self, request: Request) -> str:
        """Where a request is between two pools, in words."""
        if request.role != DECODES:
            parting = any(request is one for one in self._parting(request))
            return "before_it_is_handed_over" if parting else "before_its_kv_is_whole"
        if math.isnan(request.prefilled_s) and request.twin is not None:
            return "here_and_there" if request.reserved else "here_and_waiting_there"
        if request.waiting:
            return "waiting_for_room" if request.remote else "preempted_by_the_other_pool"
        if request.reserved:
            return "with_kv_on_its_way"
        if request in self.replicas[request.replica].batcher.incoming:
            return "with_kv_there"
        return "decoding_elsewhere"

    def _parting(self, request: Request) -> list[Request]:
        return self.replicas[request.replica].batcher.parting if request.replica >= 0 else []

    # ---- replicas ------------------------------------------------------------------------

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down, with what was to leave it or to come to it."""
        batcher = self.replicas[replica].batcher
        twins = [r.twin for r in batcher.parting if r.twin is not None]
        self.note(
            source_fails_while_kv_moves=any(twin.reserved for twin in twins),
            source_fails_while_a_prompt_waits=any(twin.waiting for twin in twins),
            source_fails_while_a_twin_waits_for_the_prefill=any(
                r.twin is not None for r in batcher.prefilling
            ),
            target_fails_before_the_prefill_ends=any(
                r.twin is not None and math.isnan(r.prefilled_s) for r in batcher.incoming
            ),
            source_fails_at_the_end_of_a_prefill=len(twins) < len(batcher.parting),
            target_fails_while_kv_moves=any(r.reserved for r in batcher.incoming),
            target_fails_with_kv_there=any(not r.remote for r in batcher.incoming),
            target_fails_while_a_prompt_waits=any(
                r.remote for _, r in batcher.waiting._items if r.role == DECODES
            ),
            target_fails_while_it_decodes=any(r.role == DECODES for r in batcher.decoding),
        )
        super().fail(replica, gpu_mw, time_s)

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is to finish what it has."""
        batcher, rests = self.replicas[replica].batcher, self.replicas[replica].batch is None
        self.note(
            drained_while_parting=bool(batcher.parting),
            drained_while_kv_comes=bool(batcher.incoming),
            drained_at_rest_while_parting=bool(batcher.parting) and rests,
        )
        super().drain(replica, gpu_mw, time_s)

    def iteration(self, replica: Replica, end_s: float) -> None:
        """An iteration ends at a replica that decodes for others."""
        batcher = replica.batcher
        self.note(
            first_token_beside_later_ones=any(r.delivered == 0 for r in batcher.decodes)
            and any(r.delivered > 0 for r in batcher.decodes),
            recomputed_by_the_other_pool=any(r.role == DECODES for r, _ in batcher.chunks),
            recomputed_without_a_token=any(
                r.role == DECODES and r.delivered == 0 for r, _ in batcher.chunks
            ),
            prefills_while_prompts_part=bool(batcher.chunks) and bool(batcher.parting),
            decodes_while_kv_comes=bool(batcher.decodes) and bool(batcher.incoming),
            prompt_blocked_by_those_that_part=bool(batcher.parting)
            and any(r.role == PREFILLS for _, r in batcher.waiting._items),
        )
        super().iteration(replica, end_s)
