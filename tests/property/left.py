"""What a serving plane still holds of requests that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.engine.plane import ServingPlane
from sim.engine.reference import ReferencePlane


def left_behind(plane: ServingPlane) -> Iterator[str]:
    """What a plane still holds of requests, where it should hold nothing.

    A replica without work has all blocks free; with nobody in flight nothing is between two pools
    and nothing is outstanding.
    """
    whole = plane.in_flight() == 0
    for index, (busy, held, between, outstanding) in enumerate(_held(plane)):
        if whole and between:
            yield f"replica {index}: {between} sequences between two pools, nobody is in flight"
        if whole and outstanding != (0, 0):
            yield f"replica {index}: {outstanding} requests and tokens outstanding of nobody"
        if held and not busy and (whole or not between):
            yield f"replica {index}: {held} blocks are held by nobody"


def _held(plane: Any) -> Iterator[tuple[bool, int, int, tuple[int, int]]]:
    """Of each replica: busy, blocks held, sequences between two pools, what is outstanding."""
    if isinstance(plane, ReferencePlane):
        places = {r.index: (pool, k) for pool in plane.pools for k, r in enumerate(pool.replicas)}
        for replica in plane.replicas:
            batcher, (pool, place) = replica.batcher, places[replica.index]
            yield (
                replica.batch is not None,
                replica.model.kv_blocks - batcher.free_blocks,
                len(batcher.parting) + len(batcher.incoming),
                (pool.outstanding_requests[place], pool.outstanding_tokens[place]),
            )
        return
    for one in plane.state.replica:
        yield (
            bool(one["busy"]),
            int(one["kv_blocks"] - one["free"]),
            int(one["parting"] + one["incoming"]),
            (int(one["outstanding_requests"]), int(one["outstanding_tokens"])),
        )
