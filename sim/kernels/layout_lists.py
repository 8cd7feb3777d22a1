"""The layout of what waits, is listed or is to come, beside the entities of ``layout``."""

from __future__ import annotations

import numpy as np

#: What else is known of the request in a slot, where some workload sends requests again or has a
#: path between users and pool; on the client's clock.
AGAIN = np.dtype(
    [
        ("sent_s", np.float64),  # this attempt, if it is not the first
        ("cancel_s", np.float64),  # the client's patience ends
    ],
    align=True,
)

#: The prefix blocks of the request in a slot.
PREFIX = np.dtype(
    [
        ("first_id", np.int64),  # in ``ids``; their number: complete blocks of the prompt
        ("ids", np.int32),
        ("shared", np.int32),  # of them: entries that it holds
        ("entry", np.int32),  # the deepest of those
        ("hit_tokens", np.int32),  # found when it was first admitted
    ],
    align=True,
)

#: A prefix block in the cache of a replica.
ENTRY = np.dtype(
    [
        ("id", np.int64),
        ("replica", np.int32),  # NONE = a free place
        ("references", np.int32),
        ("parent", np.int32),  # the block before it
        ("chain", np.int32),  # next of its bucket
        ("previous", np.int32),  # among the idle ones
        ("next", np.int32),  # … or among the free places
    ],
    align=True,
)

#: One workload's part in a replica's iteration.
SHARE = np.dtype([("decoding", np.int64), ("chunk_tokens", np.int64)], align=True)

#: A row of a source before it is sent.
SOURCE = np.dtype(
    [
        ("arrival_s", np.float64),  # sent; of a follower: once the request before it has ended
        ("think_s", np.float64),
        ("cancel_after_s", np.float64),
        ("row", np.int64),
        ("first_id", np.int64),  # its prefix ids in ``ids``, and their number
        ("input_tokens", np.int32),
        ("output_tokens", np.int32),
        ("priority", np.int32),
        ("ids", np.int32),
        ("next", np.int32),  # followers: next one of the same request, or next free place
    ],
    align=True,
)

#: Something that happens to a slot at a time; ``order`` decides among equal times.
ALARM = np.dtype([("t_s", np.float64), ("order", np.int64), ("slot", np.int64)], align=True)

#: A request whose followers are not there yet; its client learns at ``end_s`` that it ended at
#: ``t_s``.
ORPHAN = np.dtype(
    [("id", np.int64), ("end_s", np.float64), ("t_s", np.float64), ("outcome", np.int64)],
    align=True,
)

#: A node of a winner tree.
BRANCH = np.dtype([("key", np.int64), ("id", np.int64)], align=True)
#: GPUs of a replica in one server.
SERVER = np.dtype([("server", np.int64), ("gpus", np.int64)], align=True)
#: The ends of a waiting list.
QUEUE = np.dtype([("head", np.int32), ("tail", np.int32)], align=True)
#: Followers by the id of the request they follow (open addressing; id -1 = empty).
PLACE = np.dtype([("id", np.int64), ("follower", np.int64)], align=True)
