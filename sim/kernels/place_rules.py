"""What the engine decides whatever the policy: who may share, why a pod is refused, who must go."""

from __future__ import annotations

from typing import Any

from sim.kernels.node_state import fits, give_back

#: Why a pod has no place; the order of ``sim.place.reasons.REASONS``.
PLACED, GPU_TYPE, GPU, CPU, MEMORY, ISOLATION, QUOTA, PREEMPTED = range(8)


def bar(t: int, rules: Any, barred: Any) -> None:
    """Mark the nodes that a pod may not go to for the sake of who is there, or is to be alone.

    At each level (node, rack, leaf) a domain holds pods of tenants, and ``alone`` of them share it
    with no other tenant: no pod goes where another tenant's is that is to be alone, and none that
    is to be alone goes where another tenant has any.
    """
    tenants, _, alone, domains, guests, lonely, _, _ = rules
    tenant = tenants[t]
    for n in range(len(barred)):
        barred[n] = False
        for level in range(domains.shape[0]):
            place = domains[level, n]
            mine, all_ = guests[level, place, tenant], guests[level, place, -1]
            theirs = lonely[level, place] > 0 and mine == 0
            barred[n] = barred[n] or theirs or (alone[t] == level + 1 and all_ > mine)


def account(t: int, n: int, request: int, rules: Any, sign: int) -> None:
    """Note that a pod came to a node (``sign`` 1) or left it (-1)."""
    tenants, _, alone, domains, guests, lonely, _, used = rules
    used[tenants[t]] += sign * request
    for level in range(domains.shape[0]):
        place = domains[level, n]
        guests[level, place, tenants[t]] += sign
        guests[level, place, -1] += sign
        if alone[t] == level + 1:
            lonely[level, place] += sign


def reason(nodes: Any, pod: Any, allowed: Any, barred: Any) -> int:
    """What stood in the way: the last obstacle on the node that came closest."""
    found = GPU
    typed = False
    for n in range(len(nodes)):
        node = nodes[n]
        fitting = 0
        for gpu in range(node.gpus):
            fitting += node.gpu_left[gpu] >= pod.gpu_milli
        gpus, cpu = fitting >= pod.gpus, node.cpu_left >= pod.cpu
        memory = node.mem_left >= pod.mem
        if not allowed[node.type]:
            typed = typed or (gpus and cpu and memory)
        elif gpus and cpu and memory:
            return ISOLATION
        elif gpus and cpu:
            found = MEMORY
        elif gpus and found == GPU:
            found = CPU
    return GPU_TYPE if typed else found


def preempt(t: int, nodes: Any, pod: Any, allowed: Any, barred: Any, rank: Any, run: Any) -> int:
    """The node on which evicting pods of lower priority makes room at the least cost, or -1.

    Cost: the highest priority that goes, then the thousandths of GPUs, then the pods, then rank.
    Of a node's pods the least urgent go first, the latest of them first; those that need not go
    after all are spared, the most urgent first (as Kubernetes does). ``victims`` of the node are
    marked in ``run``.
    """
    residents, victims = run[0], run[1]
    best, cost = -1, (0, 0, 0, 0)
    for n in range(len(nodes)):
        if not allowed[nodes[n].type] or barred[n]:
            continue
        count = _victims(t, nodes[n], n, pod, run)
        if count <= 0:
            continue
        highest, milli = -(1 << 62), 0
        for i in range(count):
            highest = max(highest, residents.priority[victims[0, i]])
            milli += residents.request[victims[0, i]]
        found = (highest, milli, count, rank[n])
        if best < 0 or found < cost:
            best, cost = n, found
            for i in range(count):
                victims[1, i] = victims[0, i]
            victims[1, count] = -1
    return best


def _victims(t: int, node: Any, n: int, pod: Any, run: Any) -> int:
    """How many pods must leave a node for this one (0: no use); they are in ``victims[0]``."""
    residents, victims, scratch = run[0], run[1], run[2]
    count = 0
    one = residents.head[n]
    while one >= 0:
        if residents.priority[one] < residents.priority[t]:
            # Least urgent first; the list has the latest first already.
            place = count
            while place > 0 and residents.priority[victims[0, place - 1]] > residents.priority[one]:
                victims[0, place] = victims[0, place - 1]
                place -= 1
            victims[0, place] = one
            count += 1
        one = residents.next[one]
    left = scratch[0]
    _copy(node, left)
    gone = 0
    while gone < count and not fits(left, pod):
        victim = victims[0, gone]
        give_back(left, residents.shapes[residents.shape[victim]], residents.bits[victim])
        gone += 1
    if not fits(left, pod):
        return 0
    kept = 0
    for i in range(gone - 1, -1, -1):
        victim = victims[0, i]
        theirs = residents.shapes[residents.shape[victim]]
        _take_bits(left, theirs, residents.bits[victim])
        if fits(left, pod):
            victims[0, i] = -1
        else:
            give_back(left, theirs, residents.bits[victim])
    for i in range(gone):
        if victims[0, i] >= 0:
            victims[0, kept] = victims[0, i]
            kept += 1
    return kept


def _copy(node: Any, to: Any) -> None:
    to.cpu_left, to.mem_left, to.gpus, to.left, to.free = (
        node.cpu_left, node.mem_left, node.gpus, node.left, node.free,
    )  # fmt: skip
    for gpu in range(node.gpus):
        to.gpu_left[gpu] = node.gpu_left[gpu]


def _take_bits(node: Any, pod: Any, bits: int) -> None:
    node.cpu_left -= pod.cpu
    node.mem_left -= pod.mem
    for gpu in range(node.gpus):
        if bits >> gpu & 1:
            node.gpu_left[gpu] -= pod.gpu_milli
            node.left -= pod.gpu_milli


def evict(nodes: Any, n: int, rules: Any, run: Any, where: Any, why: Any) -> None:
    """Take the marked victims off a node."""
    residents, victims, _ = run
    i = 0
    while victims[1, i] >= 0:
        victim = victims[1, i]
        shape = residents.shapes[residents.shape[victim]]
        give_back(nodes[n], shape, residents.bits[victim])
        account(victim, n, shape.request, rules, -1)
        where[victim], why[victim] = -1, PREEMPTED
        if residents.head[n] == victim:
            residents.head[n] = residents.next[victim]
        else:
            before = residents.head[n]
            while residents.next[before] != victim:
                before = residents.next[before]
            residents.next[before] = residents.next[victim]
        i += 1
