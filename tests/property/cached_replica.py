"""The plain loop of ``one_replica`` with a prefix cache that keeps no counts: it searches lists.

A cached block is the path of ids that leads to it. Who uses it is found by looking at every running
job; how many blocks are unused, by adding up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.property.one_replica import Job, OneReplica, blocks_of

Path = tuple[int, ...]


@dataclass
class CachedReplica(OneReplica):
    """One replica whose rows have ``prefix_ids``, each id for ``block_tokens`` tokens."""

    block_tokens: int = 16
    released: dict[Path, int] = field(default_factory=dict)  # cached path → when last released
    held: dict[int, int] = field(default_factory=dict)  # job → ids of its chain that it uses
    hits: dict[int, int] = field(default_factory=dict)  # job → hit tokens at first admission
    releases: int = 0

    def chain(self, job: Job) -> Path:
        """The complete blocks of a job's prompt."""
        return tuple(self.rows[job.number]["prefix_ids"][: job.prompt // self.block_tokens])

    def used(self, path: Path) -> bool:
        """Whether a running job uses this cached block."""
        depth = len(path)
        return any(
            self.held.get(job.number, 0) >= depth and self.chain(job)[:depth] == path
            for job in self.running
        )

    @property
    def free(self) -> int:
        """Blocks that neither a job has for itself nor any job uses in the cache."""
        used = sum(map(self.used, self.released))
        own = sum(job.blocks for job in self.running)
        return self.model.kv_blocks - own - used * (self.block_tokens // 16)

    @free.setter
    def free(self, _: int) -> None:
        """Whoever took blocks has them by now: cached ones make room, longest released first."""
        own = sum(job.blocks for job in self.running)
        while own + len(self.released) * (self.block_tokens // 16) > self.model.kv_blocks:
            idle = [path for path in self.released if not self.used(path)]
            del self.released[min(idle, key=self.released.__getitem__)]

    def leave(self, job: Job) -> None:
        super().leave(job)
        for depth in range(self.held.pop(job.number, 0), 0, -1):
            path = self.chain(job)[:depth]
            self.releases += 1
            if not self.used(path):
                self.released[path] = self.releases

    def end_prefill(self, job: Job, time_s: float) -> None:
        chain = self.chain(job)
        own = len(chain) - self.held.get(job.number, 0)
        for depth in range(1, len(chain) + 1):
            self.released.setdefault(chain[:depth], -1)
        self.held[job.number] = len(chain)
        job.blocks -= own * (self.block_tokens // 16)
        super().end_prefill(job, time_s)

    def admit(self, left: int, time_s: float) -> None:
        self.waiting.sort(key=lambda job: (job.priority, job.order))
        while self.waiting and left and len(self.running) < self.max_sequences:
            job = self.waiting[0]
            job.target = job.prompt + job.delivered
            hit = self.hit_ids(job)
            need = blocks_of(job.target) - hit * (self.block_tokens // 16)
            idle = sum(not self.used(self.chain(job)[:depth]) for depth in range(1, hit + 1))
            if need > self.free - idle * (self.block_tokens // 16):
                break
            self.running.append(self.waiting.pop(0))
            self.held[job.number], job.blocks = hit, need
            self.free -= 0
            job.context = hit * self.block_tokens
            if job.admitted_s is None:
                job.admitted_s, self.hits[job.number] = time_s, job.context
            self.chunks.append((job, min(job.target - job.context, left)))
            left -= self.chunks[-1][1]

    def hit_ids(self, job: Job) -> int:
        """Ids of the longest cached beginning that leaves a token of the prompt."""
        most = min((job.prompt - 1) // self.block_tokens, len(self.chain(job)))
        return max(d for d in range(most + 1) if d == 0 or self.chain(job)[:d] in self.released)
