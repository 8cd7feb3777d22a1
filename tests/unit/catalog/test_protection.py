"""Breakers and UPSs: closed forms against fine steps, presets against what they were fitted to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import catalog
from sim.catalog.protection import Battery, Breaker, Electronic, Overload, Thermal
from sim.catalog.steps import parse_steps
from sim.units import UnitError

REFERENCE = Thermal(1.44, 240.0)
loads = st.floats(0.0, 6.0)
spans = st.floats(0.0, 600.0)


def integrate(heat: float, profile: list[tuple[float, float]], trip: float, tau_s: float) -> float:
    """When θ' = (i² − θ)/τ passes ``trip``, by Runge-Kutta steps of a thousandth of τ and less."""
    t = 0.0
    for load, span_s in profile:
        steps = max(1, math.ceil(span_s / (tau_s / 1000)))
        h = span_s / steps
        for _ in range(steps):
            drive = load * load

            def slope(x: float, drive: float = drive) -> float:
                return (drive - x) / tau_s

            k1 = slope(heat)
            k2 = slope(heat + h / 2 * k1)
            k3 = slope(heat + h / 2 * k2)
            k4 = slope(heat + h * k3)
            after = heat + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            if after > trip:
                return t + h * (trip - heat) / (after - heat)
            heat, t = after, t + h
    return math.inf


def closed(heat: float, profile: list[tuple[float, float]], element: Thermal) -> float:
    """The same in closed form."""
    t = 0.0
    for load, span_s in profile:
        left_s = element.seconds_left(heat, load)
        if left_s < span_s:
            return t + left_s
        heat, t = element.after(heat, load, span_s), t + span_s
    return math.inf


@given(st.floats(0.0, 1.4), st.lists(st.tuples(loads, spans), max_size=6))
def test_a_breaker_opens_when_fine_steps_say(
    heat: float, profile: list[tuple[float, float]]
) -> None:
    found, stepped = closed(heat, profile, REFERENCE), integrate(heat, profile, 1.44, 240.0)
    if math.isinf(found) or math.isinf(stepped):
        # It may reach the limit as the last stretch ends, where the two may disagree.
        end_s = sum(span_s for _, span_s in profile)
        assert found == stepped or min(found, stepped) > end_s - 1e-3
    else:
        assert found == pytest.approx(stepped, rel=1e-5, abs=1e-4)


@given(st.floats(0.0, 2.0), loads, spans, spans)
def test_a_stretch_cut_in_two_gathers_the_same(
    heat: float, load: float, one_s: float, two_s: float
) -> None:
    whole = REFERENCE.after(heat, load, one_s + two_s)
    halves = REFERENCE.after(REFERENCE.after(heat, load, one_s), load, two_s)
    assert halves == pytest.approx(whole, rel=1e-13, abs=1e-13)


def test_exactly_at_its_limit_a_breaker_holds_and_a_hair_above_it_opens() -> None:
    assert Thermal(2.25, 240.0).seconds_left(0.0, 1.5) == math.inf
    left_s = Thermal(2.25, 240.0).seconds_left(0.0, 1.5 * (1 + 1e-12))
    assert 6000.0 < left_s < 8000.0


def test_the_reference_breaker_keeps_the_published_times() -> None:
    cold = {load: REFERENCE.seconds_left(0.0, load) for load in (1.3, 1.5, 2.0, 6.0)}
    assert cold == {
        1.3: pytest.approx(458.6, abs=0.1), 1.5: pytest.approx(245.2, abs=0.1),
        2.0: pytest.approx(107.1, abs=0.1), 6.0: pytest.approx(9.8, abs=0.1),
    }  # fmt: skip
    assert REFERENCE.seconds_left(REFERENCE.steady(1.0), 1.3) == pytest.approx(243.66, abs=0.01)


def test_the_magnetic_side_opens_at_once() -> None:
    breaker = Breaker("x", REFERENCE, 8.0)
    assert breaker.seconds_left(0.0, 8.0) == 0.0
    assert breaker.seconds_left(0.0, 7.999) > 0.0


@pytest.mark.parametrize("name", catalog.names("breaker"))
def test_a_preset_is_as_near_to_its_points_as_it_says(name: str) -> None:
    entry, breaker = catalog.entry("breaker", name), catalog.breaker(name)
    if not any(field.key == "points" for field in entry.fields):
        pytest.skip(f"{name} was fitted to no points")
    worst = max(
        abs(math.log(breaker.seconds_left(0.0, load) / seconds))
        for load, seconds in parse_steps(entry.word("points").split("; "))
    )
    assert worst <= math.log1p(entry.number("fit_error")) <= worst + 0.03


@pytest.mark.parametrize("name", ["reference", "mccb", "electronic"])
def test_presets_hold_and_open_as_iec_60947_asks(name: str) -> None:
    breaker = catalog.breaker(name)
    assert breaker.seconds_left(0.0, 1.05) == math.inf
    assert breaker.seconds_left(breaker.element.steady(1.05), 1.30) <= 7200.0


def test_electronic_units_add_up_what_is_above_their_pickup() -> None:
    unit = Electronic(pickup=1.2, energy_s=100.0, cooling_s=50.0)
    assert unit.seconds_left(0.0, 1.2) == math.inf
    assert unit.seconds_left(0.0, 2.0) == pytest.approx(100.0 / (4.0 - 1.44))
    half = unit.after(0.0, 2.0, unit.seconds_left(0.0, 2.0) / 2)
    assert half == pytest.approx(0.5)
    assert unit.after(half, 1.0, 10.0) == pytest.approx(0.3)
    assert unit.after(half, 1.0, 100.0) == 0.0


class TestOverload:
    def test_steps_hold_up_to_and_including_their_load(self) -> None:
        table = catalog.ups_product("galaxy-vxl").inverter
        asked = {1.12: math.inf, 1.121: 600.0, 1.25: 600.0, 1.2501: 60.0, 1.5: 60.0, 1.51: 0.5}
        assert {load: table.allowed_s(load) for load in asked} == asked

    def test_an_overload_with_pauses_adds_up(self) -> None:
        """125 % for 300 s with breaks of 60 s gives up at 740 s; one that forgot never would."""
        table = Overload(((1.12, math.inf), (1.25, 600.0), (1.5, 60.0)), 0.0, 3600.0)
        used, t = 0.0, 0.0
        while True:
            left_s = table.seconds_left(used, 1.25)
            if left_s < 300.0:
                break
            used = table.after(table.after(used, 1.25, 300.0), 1.0, 60.0)
            t += 360.0
        assert t + left_s == pytest.approx(740.0)

    def test_what_one_step_used_is_gone_for_the_next(self) -> None:
        table = catalog.ups_product("galaxy-vxl").inverter
        assert table.seconds_left(table.after(0.0, 1.25, 300.0), 1.5) == pytest.approx(30.0)

    def test_a_rule_may_forget_at_once(self) -> None:
        product = catalog.ups_product("polca-10s")
        assert product.bypass.seconds_left(0.0, 0.5) == 0.0  # it knows no bypass: the load drops
        table = product.inverter
        assert table.after(0.9, 1.0, 1e-6) == 0.0
        assert table.seconds_left(0.0, 1.01) == 10.0

    @pytest.mark.parametrize(
        ("product", "mains", "battery"),
        [
            ("galaxy-vxl", (600.0, 60.0), (0.5, 0.5)),
            ("riello-dlp", (30.0, 10.0), (30.0, 10.0)),
            ("ups2000-g", (60.0, 3.0), (60.0, 3.0)),
            ("firstline", (30.0, 0.0), (0.0, 0.0)),
        ],
    )
    def test_the_survivor_of_two(
        self, product: str, mains: tuple[float, float], battery: tuple[float, float]
    ) -> None:
        """Two UPSs at 62.5 and 75 % of their rating: what the one that is left can carry."""
        ups = catalog.ups_product(product)
        for half in (0.4, 0.5):
            assert ups.inverter.seconds_left(0.0, 2 * half) == math.inf
        loads = (2 * 0.625, 2 * 0.75)
        assert tuple(ups.inverter.seconds_left(0.0, load) for load in loads) == mains
        assert tuple(ups.battery.seconds_left(0.0, load) for load in loads) == battery


class TestBattery:
    def test_at_its_rating_it_lasts_its_ride_through(self) -> None:
        battery = Battery(300.0)
        assert battery.seconds_left(1.0, 1.0) == 300.0
        assert battery.seconds_left(1.0, 0.5) == 600.0
        assert battery.seconds_left(battery.after(1.0, 1.0, 150.0), 0.5) == pytest.approx(300.0)

    def test_lead_gives_less_at_a_higher_load(self) -> None:
        assert Battery(300.0, exponent=1.2).seconds_left(1.0, 2.0) < 150.0

    def test_without_load_it_never_ends(self) -> None:
        assert Battery(300.0).seconds_left(1.0, 0.0) == math.inf


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "needs at least one step"),
        (["125 %"], "is no step: write '125 % for 600 s' or '100 % continuous'"),
        (["125 % for ever"], "'ever' is not a time"),
        (["1.25 for 600 s"], "needs its load in per cent"),
        (["0 % continuous"], "a load is above 0 %"),
        (["125 % for 60 s", "110 % for 30 s"], "loads must ascend"),
        (["110 % for 60 s", "125 % for 60 s"], "cannot be carried longer"),
    ],
)
def test_steps_that_are_none(steps: list[str], message: str) -> None:
    with pytest.raises(UnitError, match=message):
        parse_steps(steps)
