"""What to order when: the schedule of least discounted cost that carries a growing load.

An integer program over months t = 0 … T - 1. For each type k: o_ks units are ordered in month s and
serve from s + lead for ``life`` months; n_kt are in service, those that are retired before the end
of their life being the oldest. c_s steps of contracted power are ordered in month s. With d(t) the
discount factor:

    Σ_k capacity_k n_kt + short_t >= load_t             short_t >= 0 at a price, so that what cannot
                                                        be served is shown, not "infeasible"
    n_kt <= units that arrived in the last ``life`` months     (end of life)
    n_kt - n_k,t-1 <= units that arrive in t                   (what is retired stays retired)
    Σ_k power_k n_kt <= contract + step Σ_{s + lead <= t} c_s <= most of the utility
    Σ_k racks_k n_kt <= positions_t

    least Σ d(s) price_k o_ks - residual + Σ d(t) (maintenance_k + energy_k) n_kt
          + Σ d(s) fee c_s + Σ d(t) price of steps in force / 12 + Σ d(t) price of shortfall

``sim.plan.growth.schedule`` says what the residual is.
"""

from __future__ import annotations

import time

import numpy as np

from sim.errors import RackplanError
from sim.place.arcs import new_solver
from sim.plan.growth.schedule import (
    GAP,
    Floats,
    Ints,
    Schedule,
    arrivals,
    discounts,
    order_months,
    positions,
    residual_share,
    running_usd,
    schedule,
)
from sim.spec.build_out import BuildOutSpec, UnitType
from sim.spec.months import MONTHS_A_YEAR

#: Seconds that one program gets.
TIME_LIMIT_S = 20.0


def solve(spec: BuildOutSpec, start: int, load: Floats, limit_s: float = TIME_LIMIT_S) -> Schedule:
    """The schedule of least cost.

    Args:
        start: month 0.
        load: [T] to be carried.
        limit_s: what the solver gets.
    """
    begun = time.perf_counter()
    program = _Program(spec, start, load)
    values, bound, optimal = program.solved(limit_s)
    orders, steps, service = program.taken(values)
    return schedule(spec, start, load, orders, steps, service, bound=bound, optimal=optimal,
                    seconds=time.perf_counter() - begun)  # fmt: skip


class _Program:
    """The integer program; columns of orders, of units in service, of steps, of shortfalls."""

    def __init__(self, spec: BuildOutSpec, start: int, load: Floats) -> None:
        self._spec, self._start, self._load = spec, start, load
        self._costs: list[float] = []
        self._upper: list[float] = []
        self._whole: list[bool] = []
        self._rows: list[tuple[float, float, dict[int, float]]] = []
        self._worth = discounts(spec, spec.months + 1)
        self._orders = [self._order_columns(one) for one in spec.types]
        self._service = [self._service_columns(one) for one in spec.types]
        self._steps = self._step_columns()
        self._short = [self._column(spec.shortfall_usd * d, whole=False) for d in self._worth[:-1]]
        self._carry()
        for k, one in enumerate(spec.types):
            self._live(k, one)
        self._limits()

    def _column(self, cost: float, upper: float = np.inf, whole: bool = True) -> int:
        self._costs.append(cost)
        self._upper.append(upper)
        self._whole.append(whole)
        return len(self._costs) - 1

    def _order_columns(self, one: UnitType) -> dict[int, int]:
        """Month of order → column."""
        months = self._spec.months
        #: More than carries all of the load is never ordered at once.
        enough = float(np.ceil(self._load.max() / one.capacity))
        upper = enough if one.most is None else min(enough, one.most)
        return {
            s: self._column(
                one.price_usd * (self._worth[s] - residual_share(one, s, months) * self._worth[-1]),
                upper,
            )
            for s in order_months(self._spec, one, self._start)
        }

    def _service_columns(self, one: UnitType) -> list[int]:
        usd = running_usd(self._spec, one)
        return [self._column(usd * d) for d in self._worth[:-1]]

    def _step_columns(self) -> dict[int, int]:
        contract, months = self._spec.contract, self._spec.months
        if contract is None:
            return {}
        yearly = contract.price_usd / MONTHS_A_YEAR
        needed = sum(
            (one.power_w or 0.0) * np.ceil(self._load.max() / one.capacity)
            for one in self._spec.types
        )
        enough = float(np.ceil(needed / contract.step_w))
        upper = enough if contract.most is None else min(enough, contract.most)
        return {
            s: self._column(
                contract.fee_usd * self._worth[s]
                + yearly * float(self._worth[s + contract.lead : months].sum()),
                upper,
            )
            for s in range(contract.first, months - contract.lead)
        }

    def _carry(self) -> None:
        """What is in service carries the load, or falls short."""
        scale = max(one.capacity for one in self._spec.types)
        for t, load in enumerate(self._load.tolist()):
            row = {
                self._service[k][t]: one.capacity / scale for k, one in enumerate(self._spec.types)
            }
            row[self._short[t]] = 1.0 / scale
            self._rows.append((load / scale, np.inf, row))

    def _live(self, k: int, one: UnitType) -> None:
        """Units arrive, reach the end of their life, and do not come back."""
        none = np.zeros((len(self._spec.types), self._spec.months), np.int64)
        come, alive = arrivals(self._spec, self._start, none)
        for t in range(self._spec.months):
            service = self._service[k][t]
            row = {service: 1.0}
            for s, column in self._orders[k].items():
                if t - one.life < s + one.lead <= t:
                    row[column] = -1.0
            self._rows.append((-np.inf, float(alive[k, t]), row))
            row = {service: 1.0}
            if t > 0:
                row[self._service[k][t - 1]] = -1.0
            if t - one.lead in self._orders[k]:
                row[self._orders[k][t - one.lead]] = -1.0
            self._rows.append((-np.inf, float(come[k, t]), row))

    def _limits(self) -> None:
        """Power and positions."""
        spec, contract = self._spec, self._spec.contract
        room = positions(spec, self._start)
        for t in range(spec.months):
            if spec.racks is not None:
                row = {self._service[k][t]: float(one.racks) for k, one in enumerate(spec.types)}
                self._rows.append((-np.inf, float(room[t]), row))
            if contract is None:
                continue
            steps = {column: -1.0 for s, column in self._steps.items() if s + contract.lead <= t}
            row = {
                self._service[k][t]: (one.power_w or 0.0) / contract.step_w
                for k, one in enumerate(spec.types)
            }
            # A hair of room: 10 units of 11 kW are 110 kW, whatever the last bit of a sum says.
            held = contract.contract_w / contract.step_w * (1.0 + 1e-9)
            self._rows.append((-np.inf, held, row | steps))
        if contract is not None and contract.most_w is not None:
            most = np.floor((contract.most_w - contract.contract_w) / contract.step_w + 1e-9)
            row = dict.fromkeys(self._steps.values(), 1.0)
            self._rows.append((-np.inf, float(most), row))

    def solved(self, limit_s: float) -> tuple[Floats, float, bool]:
        """Values of the columns, the bound in USD, whether the optimum was shown."""
        import highspy

        #: Costs of 1e8 beside tolerances of 1e-7 would be lost in rounding.
        scale = max(*map(abs, self._costs), 1.0) / 1e3
        program = highspy.HighsLp()
        n = len(self._costs)
        program.num_col_, program.num_row_ = n, len(self._rows)
        program.col_cost_ = np.array(self._costs) / scale
        program.col_lower_, program.col_upper_ = np.zeros(n), np.array(self._upper)
        whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        program.integrality_ = [whole if one else real for one in self._whole]
        program.row_lower_ = np.array([low for low, _, _ in self._rows])
        program.row_upper_ = np.array([high for _, high, _ in self._rows])
        sizes = [len(row) for _, _, row in self._rows]
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        program.a_matrix_.index_ = np.array([c for _, _, row in self._rows for c in row], np.int32)
        program.a_matrix_.value_ = np.array([v for _, _, row in self._rows for v in row.values()])
        solver = new_solver()
        for option, value in (("mip_rel_gap", GAP), ("time_limit", float(limit_s))):
            solver.setOptionValue(option, value)
        solver.passModel(program)
        if solver.run() == highspy.HighsStatus.kError:
            raise RackplanError("build_out: the solver failed; this is a defect of rackplan")
        optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        values = np.array(solver.getSolution().col_value)
        bound = float(solver.getInfo().mip_dual_bound) * scale
        if not solver.getSolution().value_valid:
            values, bound = np.zeros(n), -np.inf  # nothing in service, all of the load falls short
        return values, bound, optimal

    def taken(self, values: Floats) -> tuple[Ints, Ints, Ints]:
        """Orders [K, T], steps [T] and units in service [K, T] of a solution."""
        shape = (len(self._spec.types), self._spec.months)
        orders, service = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        steps = np.zeros(self._spec.months, np.int64)
        for k, columns in enumerate(self._orders):
            for s, column in columns.items():
                orders[k, s] = round(values[column])
            service[k] = np.round(values[self._service[k]])
        for s, column in self._steps.items():
            steps[s] = round(values[column])
        return orders, steps, service
