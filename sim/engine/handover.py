"""What a serving plane says about the network, and the control plane acts on.

A prompt's KV goes from the pool that prefilled it to the pool that decodes it: the plane says what
happened at its replicas (``Move``), the control plane moves the bytes and says when they are there
(``ServingPlane.arrived``). Replicas over several servers say how fast they work.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What a ``Move`` says: blocks are reserved for the KV, so it may be sent; its prefill, which went
#: on meanwhile, has ended; or it is not wanted any more, because the request has ended.
RESERVED, PREFILLED, WITHDRAWN = "reserved", "prefilled", "withdrawn"
#: The replica ``handle`` begins iterations of ``tokens`` tokens, the first of ``to_s`` seconds;
#: without tokens it rests.
PACED = "paced"


@dataclass(frozen=True)
class Move:
    """Something that happened to a prompt between two replicas.

    ``handle`` is the plane's name for the request until its KV has arrived or is withdrawn.
    ``prefilled_s`` is NaN while the last part of the prompt is computed, planned for the time from
    ``from_s`` to ``to_s``.
    """

    kind: str
    time_s: float
    handle: int
    request_id: int = -1
    source: int = -1  # replica that prefilled it
    target: int = -1  # replica that reserved blocks for it
    tokens: int = 0  # of the prompt
    admitted_s: float = 0.0
    prefilled_s: float = 0.0
    from_s: float = 0.0
    to_s: float = 0.0
