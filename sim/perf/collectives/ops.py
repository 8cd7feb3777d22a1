"""The operations, and the bytes that each algorithm moves: facts of arithmetic, no constants.

n is the number of GPUs. The size S of a collective is that of nccl-tests: of all-reduce and
broadcast the buffer of one GPU; of all-gather and reduce-scatter the whole (n times the part of
one GPU); of all-to-all what one GPU sends, itself included; of point-to-point the message.
"""

from __future__ import annotations

import math

from sim.errors import RackplanError, UnknownName

#: All operations, as the command line spells them.
OPS = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "broadcast", "point-to-point",
)  # fmt: skip
#: Operations that add numbers up, whose speed depends on the width of the numbers.
REDUCTIONS = ("all-reduce", "reduce-scatter")


def check_op(op: str) -> None:
    """Refuse what is no operation.

    Raises:
        UnknownName: ``op`` is none of ``OPS``.
    """
    if op not in OPS:
        raise UnknownName("operation", op, OPS)


def check_ranks(op: str, gpus: int) -> None:
    """Refuse a number of GPUs that ``op`` cannot have.

    Raises:
        RackplanError: fewer than two, or a point-to-point message between more than two.
    """
    if gpus < 2:
        raise RackplanError(f"a collective needs at least 2 GPUs, not {gpus}")
    if op == "point-to-point" and gpus != 2:
        raise RackplanError(f"point-to-point is between 2 GPUs, not {gpus}")


def bus_factor(op: str, gpus: int) -> float:
    """busbw / algbw of nccl-tests, where algbw = S / time.

    It makes busbw the rate of one GPU's links under a ring: 2(n−1)/n for all-reduce, (n−1)/n for
    all-gather, reduce-scatter and all-to-all, 1 for the others (doc/PERFORMANCE.md there). A
    reduction inside the switches moves less, so that its busbw may be above the links' rate.
    """
    if op == "all-reduce":
        return 2.0 * (gpus - 1) / gpus
    if op in ("all-gather", "reduce-scatter", "all-to-all"):
        return (gpus - 1) / gpus
    return 1.0


def sent_share(op: str, algorithm: str, gpus: int) -> float:
    """Bytes that one GPU of a domain sends, over S; it receives as many.

    ``nvls``: the switches read all n parts of every GPU's buffer and write the sum once: 1 + 1/n.
    A broadcast is a chain, of which the last GPU sends nothing; this is the share of the others.
    """
    if algorithm == "nvls" and op == "all-reduce":
        return 1.0 + 1.0 / gpus
    return bus_factor(op, gpus)


def nic_share(op: str, algorithm: str, domains: int, gpus: int, nics: int) -> float:
    """Bytes that the busiest NIC of a domain sends, over S.

    ``domains`` N, ``gpus`` n in all, k = n/N in each domain, spread over ``nics`` NICs.

    * all-reduce: the domain first leaves S/k on each GPU. Ring over the domains: 2(N−1)/N of that;
      two binary trees, each for a half: each domain sends up once and down to at most two below.
    * all-gather, reduce-scatter: rings through all GPUs, which leave a domain once: (n−1)/n.
    * all-to-all: each GPU sends n − k of n parts to other domains.
    * broadcast, point-to-point: the message, the former over all NICs.
    """
    if op == "all-reduce":
        share = tree_share(domains) if algorithm == "tree" else 2.0 * (domains - 1) / domains
        return share / nics
    if op == "all-to-all":
        inside = gpus // domains
        return (gpus - inside) / gpus * inside / nics
    if op == "point-to-point":
        return 1.0
    return bus_factor(op, gpus) / nics


def network_steps(op: str, algorithm: str, domains: int) -> int:
    """Crossings of the network, one after the other, before the first byte is through."""
    if op == "all-reduce":
        return 2 * (tree_depth(domains) if algorithm == "tree" else domains - 1)
    return 1 if op in ("all-to-all", "point-to-point") else domains - 1


def tree_depth(domains: int) -> int:
    """Levels below the root of a binary tree over the domains: ⌊log2 N⌋."""
    return int(math.log2(domains))


def tree_edges(domains: int) -> list[tuple[int, int]]:
    """(parent, child) of two binary trees over the domains, each of which carries a half.

    The second has the order reversed, so that a domain with two children in one has fewer in the
    other: no domain sends down more than about what it sends up.
    """
    first = [((child - 1) // 2, child) for child in range(1, domains)]
    last = domains - 1
    return first + [(last - parent, last - child) for parent, child in first]


def tree_share(domains: int) -> float:
    """What the busiest domain sends in both trees, over S: a half for each edge, up or down."""
    sent = [0.0] * domains
    for parent, child in tree_edges(domains):
        sent[parent] += 0.5
        sent[child] += 0.5
    return max(sent)


def in_domain_algorithm(op: str) -> str:
    """How an operation that was not measured moves its bytes."""
    return {"all-to-all": "pairwise", "point-to-point": "direct"}.get(op, "ring")


def between_algorithms(op: str) -> tuple[str, ...]:
    """The algorithms between domains that an operation can choose from."""
    if op == "all-reduce":
        return ("ring", "tree")
    return (in_domain_algorithm(op),)
