"""The closed loop of ``sim.engine.closed_loop`` without draws, compiled: for fits only.

The rules are the same ones in the same order; ``tests/unit/engine/test_fast_loop.py`` holds the two
equal. A fit asks for some hundred thousand runs, which takes minutes here and hours there.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim.perf.step import BLOCK_TOKENS, StepCost

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BLOCK = BLOCK_TOKENS

WAITING, PREFILLING, DECODING = 1, 2, 3


def scalars(cost: StepCost) -> Floats:
    """The scalar terms of a cost, as ``run_loop`` takes them."""
    return np.array(
        [cost.fixed_s, cost.per_decode_s, cost.per_kv_token_s, cost.per_windowed_kv_token_s,
         cost.per_prefill_pair_s, cost.per_windowed_prefill_pair_s]
    )  # fmt: skip


@njit(cache=True, inline="always")
def _inside(x, window):
    least = min(x, window)
    return least * least + 2 * window * (x - least)


@njit(cache=True, inline="always")
def _blocks(tokens):
    return -(-tokens // BLOCK)


@njit(cache=True, inline="always")
def _grid_s(tokens, grid, grid_s):
    i = min(np.searchsorted(grid, tokens, side="right"), len(grid) - 1) - 1
    slope = (grid_s[i + 1] - grid_s[i]) / (grid[i + 1] - grid[i])
    return grid_s[i] + slope * (tokens - grid[i])


@njit(cache=True, inline="always")
def _new_blocks(count, steps, running, residues):
    whole = count // BLOCK
    part = 0
    for j in range(count % BLOCK):
        part += residues[(-(steps + j)) % BLOCK]
    return whole * running + part


@njit(cache=True)
def run_loop(
    terms, grid, grid_s, window, kv_blocks, prompts, outputs, clients, slots, budget_tokens,
    requests, delay_s, starts
):  # fmt: skip
    """Sent, first-token and end times and output tokens of the first ``requests`` ended.

    ``starts[i]`` is when client i begins; ``delay_s`` what a request takes to reach the replica.
    """
    total = requests + clients + 1
    sent = np.zeros(total)
    first = np.full(total, -1.0)
    end = np.zeros(total)
    target = np.zeros(total, np.int64)
    last = np.zeros(total, np.int64)
    prefilled = np.zeros(total, np.int64)
    base = np.zeros(total, np.int64)
    chunk_of = np.zeros(total, np.int64)
    waiting = np.zeros(4 * total + 8, np.int64)  # [head:tail], grows to the left on preemption
    head = tail = 2 * total
    pre = np.zeros(total, np.int64)
    npre = 0
    run = np.zeros(total, np.int64)  # decoding, in admission order
    nrun = 0
    due = np.zeros(total, np.int64)  # sent, not yet there; ascending arrival
    ndue = 0
    nextdue = 0
    order = np.zeros(total, np.int64)
    admitted = 0
    residues = np.zeros(BLOCK, np.int64)
    done = np.zeros(requests + clients, np.int64)
    ndone = 0
    now = 0.0
    steps = 0
    kv = 0
    free = kv_blocks
    replan = False
    number = 0
    for c in range(clients):
        sent[number] = starts[c]
        target[number] = prompts[number]
        last[number] = prompts[number] + outputs[number] - 1
        if starts[c] + delay_s <= 0.0:
            waiting[tail] = number
            tail += 1
        else:
            due[ndue] = number
            ndue += 1
        number += 1
    while ndone < requests:
        while nextdue < ndue and sent[due[nextdue]] + delay_s < now:
            waiting[tail] = due[nextdue]
            tail += 1
            nextdue += 1
        late = False
        nchunk = 0
        for attempt in range(2):
            # Room and blocks for the decodes.
            preempted = False
            while True:
                need = _new_blocks(1, steps, nrun, residues)
                if need <= free:
                    break
                if npre > 0:
                    npre -= 1
                    v = pre[npre]
                    free += _blocks(target[v])
                else:
                    nrun -= 1
                    v = run[nrun]
                    context = base[v] + steps
                    kv -= context
                    residues[base[v] % BLOCK] -= 1
                    free += _blocks(context)
                    target[v] = context + 1
                prefilled[v] = 0
                head -= 1
                waiting[head] = v
                preempted = True
            replan = preempted
            free -= need
            budget = budget_tokens - nrun
            nchunk = npre
            for i in range(npre):
                v = pre[i]
                size = min(target[v] - prefilled[v], budget)
                chunk_of[v] = size
                budget -= size
            while head < tail and budget > 0 and not preempted:
                v = waiting[head]
                if nrun + npre >= slots or _blocks(target[v]) > free:
                    break
                head += 1
                free -= _blocks(target[v])
                order[v] = admitted
                admitted += 1
                pre[npre] = v
                npre += 1
                nchunk += 1
                size = min(target[v], budget)
                chunk_of[v] = size
                budget -= size
            if attempt == 0:
                while nextdue < ndue and sent[due[nextdue]] + delay_s <= now:
                    waiting[tail] = due[nextdue]
                    tail += 1
                    nextdue += 1
                    late = True
                if nchunk == 0 and nrun == 0:
                    if head == tail:
                        now = sent[due[nextdue]] + delay_s
                        while nextdue < ndue and sent[due[nextdue]] + delay_s <= now:
                            waiting[tail] = due[nextdue]
                            tail += 1
                            nextdue += 1
                    continue
                if late:
                    replan = True
            break
        # One iteration, or as many as change nothing.
        kv_read = kv + nrun
        windowed = 0
        narrow = 0
        if window:
            for i in range(nrun):
                context = base[run[i]] + steps + 1
                if context < window:
                    narrow += 1
                    windowed += context
                else:
                    windowed += window
        pairs = 0
        inside = 0
        tokens = nrun
        for i in range(npre):
            v = pre[i]
            n = chunk_of[v]
            p = prefilled[v]
            tokens += n
            pairs += n * (2 * p + n)
            if window:
                inside += _inside(p + n, window) - _inside(p, window)
        step_s = (
            terms[0] + _grid_s(tokens, grid, grid_s) + terms[1] * nrun + terms[2] * kv_read
            + terms[3] * windowed + terms[4] * pairs + terms[5] * inside
        )  # fmt: skip
        if nchunk > 0:
            now += step_s
            count = 1
        else:
            count = 1
            growth = terms[2] * nrun + terms[3] * narrow
            if not replan:
                count = 1 << 60
                for i in range(nrun):
                    v = run[i]
                    count = min(count, last[v] - base[v] - steps)
                    if window:
                        context = base[v] + steps
                        if context + 1 < window:
                            count = min(count, window - context - 1)
                spare = free + _new_blocks(1, steps, nrun, residues)
                if _new_blocks(count, steps, nrun, residues) > spare:
                    low, high = 0, count
                    while high - low > 1:
                        middle = (low + high) // 2
                        if _new_blocks(middle, steps, nrun, residues) > spare:
                            high = middle
                        else:
                            low = middle
                    count = low
                if nextdue < ndue:
                    until = sent[due[nextdue]] + delay_s - now
                    if count * step_s + growth * (0.5 * count * (count - 1)) > until:
                        low, high = 0, count
                        while high - low > 1:
                            middle = (low + high) // 2
                            if middle * step_s + growth * (0.5 * middle * (middle - 1)) > until:
                                high = middle
                            else:
                                low = middle
                        count = high
                count = max(1, count)
            now += count * step_s + growth * (0.5 * count * (count - 1))
            free -= _new_blocks(count, steps, nrun, residues) - _new_blocks(
                1, steps, nrun, residues
            )
        steps += count
        kv += count * nrun
        # Deliver: what decoded and ended, what has its whole prompt.
        first_new = ndone
        ended = np.empty(nrun, np.int64)
        nended = 0
        kept = 0
        for i in range(nrun):
            v = run[i]
            if last[v] - base[v] <= steps:
                ended[nended] = v
                nended += 1
                kv -= base[v] + steps
                residues[base[v] % BLOCK] -= 1
            else:
                run[kept] = v
                kept += 1
        nrun = kept
        # In the engine's order: by the step at which each ended, then by admission.
        for i in range(nended):
            v = ended[i]
            done[ndone] = v
            ndone += 1
        left = 0
        for i in range(npre):
            v = pre[i]
            prefilled[v] += chunk_of[v]
            if prefilled[v] < target[v]:
                pre[left] = v
                left += 1
                continue
            if first[v] < 0:
                first[v] = now
            base[v] = target[v] - steps
            if last[v] - base[v] <= steps:
                done[ndone] = v
                ndone += 1
            else:
                run[nrun] = v
                nrun += 1
                kv += target[v]
                residues[base[v] % BLOCK] += 1
        npre = left
        for i in range(first_new, ndone):
            v = done[i]
            free += _blocks(last[v])
            end[v] = now
            if number < total:
                sent[number] = now
                target[number] = prompts[number]
                last[number] = prompts[number] + outputs[number] - 1
                at = ndue
                while at > nextdue and sent[due[at - 1]] > now:
                    due[at] = due[at - 1]
                    at -= 1
                due[at] = number
                ndue += 1
                number += 1
    ids = done[:ndone]
    return sent[ids], first[ids], end[ids], outputs[ids]
