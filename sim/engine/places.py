"""Places: which GPUs each replica has, and who gets which when one is to be placed.

A placement policy suggests, the arbiter checks, the first suggestion that holds is taken; each of
these decisions goes to the ``decisions`` table, with the reasons of refusals. The same is asked at
time 0 and whenever a replica comes, is placed anew or moves during a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Pool, Scenario
from sim.engine.arbiter import RackPower, Refusal, check_placement, decision
from sim.engine.tenants import Tenants
from sim.engine.world import PlacedReplica, World
from sim.perf.step import ReplicaModel
from sim.policies.base import PlacementView, ToCome, kind_of
from sim.policies.ranked import Ranked
from sim.rng import KeyedBits
from sim.site.fabric.leaves import Leaves

#: ``unwanted(gpus)``: why they are not wanted although they would hold, or None.
Unwanted: TypeAlias = Callable[[tuple[int, ...]], Refusal | None]
#: A policy that goes on suggesting what cannot hold is cut off after this many refusals.
MOST_SUGGESTIONS = 100_000
_ISOLATION = "isolation"


class NoPlace(Exception):
    """The policy found no place that holds; the text says what was refused, and why."""


class Places:
    """The GPUs of every replica as they are now.

    Attributes:
        now: [replicas] each where it is; those of a pool are contiguous.
        position: [replicas] each one's number within its pool.
        log: rows of the ``decisions`` table; whoever asks hands them on.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario, self._seed = scenario, seed
        self._policy = scenario.placement
        self._kind = kind_of(self._policy)
        self._chooser, self._state = self._policy, None
        if hasattr(self._policy, "decide"):
            self._state = self._policy.new_state()
        else:
            groups = [(p.tensor_parallel, p.replicas * p.pipeline_parallel) for p in scenario.pools]
            self._chooser = Ranked(self._policy, seed, groups)
        self._free = np.ones(scenario.site.gpus, dtype=bool)
        self._racks, self._tenants = RackPower(scenario.site), Tenants(scenario)
        fabric, site = scenario.fabric, scenario.site
        self._leaves = None if fabric is None else Leaves(partial(fabric.build, site))
        self._draw_w = {
            pool.name: {gpu: m.power[0].most_mw / 1000.0 for gpu, m in pool.models.items()}
            for pool in scenario.pools
        }
        self.now: list[PlacedReplica] = []
        self.position: list[int] = []
        for index, pool in enumerate(scenario.pools):
            model = next(iter(pool.models.values()))
            self.now += [PlacedReplica(index, model, (), ())] * pool.replicas
            self.position += range(pool.replicas)
        self._asked = [0] * len(self.now)
        self.log: list[dict[str, Any]] = []

    @classmethod
    def of(cls, world: World) -> Places:
        """Those of a world's beginning, for one run of it."""
        if world.places is not None:
            return world.places.copy()
        places = cls(world.scenario, world.seed)
        for replica, placed in enumerate(world.replicas):
            places.now[replica] = placed
            places.hold(placed)
        return places

    def copy(self) -> Places:
        """As it stands, for one run."""
        other = Places.__new__(Places)
        other.__dict__.update(self.__dict__)
        other._state, other._racks = deepcopy(self._state), copy(self._racks)
        other._tenants = self._tenants.copy()
        if isinstance(self._chooser, Ranked):
            other._chooser = copy(self._chooser)
        other._free, other.log = self._free.copy(), []
        other.now, other._asked = list(self.now), list(self._asked)
        return other

    def report(self, write: Callable[[dict[str, Any]], None]) -> None:
        """Hand on what has been decided since the last time."""
        for row in self.log:
            write(row)
        self.log.clear()

    # ---- who has which GPUs --------------------------------------------------------------

    def take(self, replica: int, placed: PlacedReplica) -> None:
        """A replica without a place has this one from now on."""
        assert not self.now[replica].gpus
        self.now[replica] = placed
        self.hold(placed)

    def leave(self, replica: int) -> None:
        """A replica has no place any more."""
        placed = self.now[replica]
        self.now[replica] = PlacedReplica(placed.pool, placed.model, (), ())
        self.release(placed)

    def relocate(self, replica: int, target: PlacedReplica) -> None:
        """A replica leaves its place for one that is held for it."""
        before = self.now[replica]
        self.now[replica] = target
        self.release(before)

    def hold(self, placed: PlacedReplica) -> None:
        """Its GPUs are nobody else's from now on."""
        self._racks.accept(placed.gpus)
        self._tenants.accept(placed)
        self._free[list(placed.gpus)] = False

    def release(self, placed: PlacedReplica) -> None:
        """Its GPUs are free."""
        self._racks.release(placed.gpus)
        self._tenants.release(placed)
        self._free[list(placed.gpus)] = True

    def stranded(self, left: Collection[int] = (), taken: Collection[int] = ()) -> float:
        """Free GPUs in NVLink domains that no whole group can use, the mean over all groups.

        Counted as if the GPUs ``left`` were free and those ``taken`` were not. A group has the GPUs
        of tensor parallelism, or those of a domain if it is larger.
        """
        free = self._free.copy()
        free[list(left)] = True
        free[list(taken)] = False
        domain = self._scenario.site.gpu_domain
        left, width = np.bincount(domain, weights=free), int(np.bincount(domain).max())
        groups = {
            pool.name: pool.replicas * pool.pipeline_parallel for pool in self._scenario.pools
        }
        wasted = sum(
            groups[pool.name] * float((left % min(pool.tensor_parallel, width)).sum())
            for pool in self._scenario.pools
        )
        return wasted / sum(groups.values())

    # ---- who gets which ------------------------------------------------------------------

    def find(
        self,
        replica: int,
        time_s: float,
        dark: Collection[int] = (),
        model: ReplicaModel | None = None,
        unwanted: Unwanted = lambda gpus: None,
    ) -> PlacedReplica:
        """A place for a replica, which nobody holds yet; ``dark`` are servers without power.

        With a ``model`` only on the type of GPU that it is of. ``unwanted`` says why GPUs that
        would hold are not wanted.

        Raises:
            NoPlace: there is none.
        """
        site, pool = self._scenario.site, self._scenario.pools[self.now[replica].pool]
        name = f"policy/placement/{pool.name}"
        if self._asked[replica]:  # a place that it has lost must not draw the same again
            name += f"/{self._asked[replica]}"
        self._asked[replica] += 1
        view = self._view(replica, pool, dark, model)
        gpus = self._decide(view, pool, KeyedBits(self._seed, name), time_s, unwanted)
        servers = sorted(Counter(int(site.gpu_node[gpu]) for gpu in gpus).items())
        kind = site.gpu_types[servers[0][0]].name
        return PlacedReplica(self.now[replica].pool, pool.models[kind], gpus, tuple(servers))

    def _view(
        self, replica: int, pool: Pool, dark: Collection[int], model: ReplicaModel | None
    ) -> PlacementView:
        site, pools = self._scenario.site, self._scenario.pools
        without = np.isin(site.gpu_node, list(dark))
        placed: dict[str, tuple[tuple[int, ...], ...]] = {}
        for index, one in enumerate(pools):
            others = (r for number, r in enumerate(self.now) if number != replica and r.gpus)
            placed[one.name] = tuple(r.gpus for r in others if r.pool == index)
        partners = [
            one
            for one in pools
            if (one.decode is not None and one.decode.pool == pool.name)
            or (pool.decode is not None and pool.decode.pool == one.name)
        ]
        to_come = {
            one.name: ToCome(
                one.replicas - len(placed[one.name]),
                one.tensor_parallel * one.pipeline_parallel,
                self._allowed(one, without, model if one is pool else None),
            )
            for one in (pool, *partners)
        }
        return PlacementView(
            site=site,
            allowed=to_come[pool.name].allowed,
            tensor_parallel=pool.tensor_parallel,
            pipeline_parallel=pool.pipeline_parallel,
            pool=pool.name,
            replica=self.position[replica],
            dark=frozenset(np.flatnonzero(without).tolist()),
            placed=placed,
            partners=tuple(one.name for one in partners),
            power=self._scenario.power,
            to_come=to_come,
            draw_w=self._draw_w,
            leaves=self._leaves,
        )

    def _allowed(
        self, pool: Pool, without: NDArray[np.bool_], model: ReplicaModel | None
    ) -> NDArray[np.bool_]:
        """[G] GPUs that are free, have power and suit a pool; ``without`` [G] have none."""
        site = self._scenario.site
        kinds = pool.models if model is None else (model.gpu,)
        fits = [gpu.name in kinds and pool.gpu in (None, gpu.name) for gpu in site.gpu_types]
        allowed = self._free & np.array(fits)[site.gpu_node] & ~without
        if pool.racks:
            allowed &= np.isin(site.node_rack[site.gpu_node], pool.racks)
        allowed.flags.writeable = False
        return np.asarray(allowed)

    def _decide(
        self,
        view: PlacementView,
        pool: Pool,
        rng: KeyedBits,
        time_s: float,
        unwanted: Unwanted,
    ) -> tuple[int, ...]:
        """The first suggestion that holds; the first refusal of each kind is logged, too.

        A policy does not see tenants. Where none of its suggestions holds and isolation is among
        the reasons, it is asked once more among the GPUs that isolation leaves.
        """
        subject = f"{pool.name} replica {view.replica}"
        refused: Counter[str] = Counter()
        told: dict[str, Refusal] = {}
        for asked in self._askings(view, pool, refused):
            for count, suggestion in enumerate(self._chooser.decide(asked, self._state, rng)):
                gpus = tuple(int(gpu) for gpu in suggestion)
                refusal = (
                    check_placement(view, pool, gpus)
                    or self._tenants.refuse(pool, gpus)
                    or self._racks.refuse(gpus)
                    or unwanted(gpus)
                )
                if refusal is None or refusal.code not in refused:
                    rank, text = refused.total(), " ".join(map(str, gpus))
                    self.log.append(
                        decision(time_s, "placement", self._kind, subject, rank, text, refusal)
                    )
                if refusal is None:
                    return gpus
                refused[refusal.code] += 1
                told.setdefault(refusal.code, refusal)
                if count >= MOST_SUGGESTIONS:
                    break
        raise NoPlace(self._lacking(view, pool, refused, told.get(_ISOLATION)))

    def _askings(
        self, view: PlacementView, pool: Pool, refused: Counter[str]
    ) -> Iterator[PlacementView]:
        """What the policy is asked: about all GPUs, then about those that isolation leaves."""
        yield view
        if refused[_ISOLATION]:
            allowed = view.allowed & ~self._tenants.barred(pool)
            allowed.flags.writeable = False
            mine = replace(view.to_come[pool.name], allowed=allowed)
            yield replace(view, allowed=allowed, to_come={**view.to_come, pool.name: mine})

    def _lacking(
        self,
        view: PlacementView,
        pool: Pool,
        refused: Counter[str],
        isolation: Refusal | None,
    ) -> str:
        free = int(np.count_nonzero(view.allowed))
        where = " in its racks" if pool.racks else ""
        why = ", ".join(f"{n} × {code}" for code, n in sorted(refused.items())) or "no suggestion"
        if isolation is not None:
            why += f"; {isolation.reason}"
        return (
            f"replica {view.replica + 1} of {pool.replicas} has no place: it needs "
            f"{pool.tensor_parallel * pool.pipeline_parallel} GPUs "
            f"(tensor-parallel groups of {pool.tensor_parallel} in {_domains(pool)}), {free} "
            f"suitable GPUs are free{where}, and {self._kind} found none that hold ({why})"
        )


def _domains(pool: Pool) -> str:
    """How many NVLink domains a tensor-parallel group of this pool takes, in words."""
    counts = sorted({model.across.domains if model.across else 1 for model in pool.models.values()})
    if counts == [1]:
        return "one NVLink domain"
    return f"{' or '.join(map(str, counts))} whole NVLink domains"
