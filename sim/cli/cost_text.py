"""How ``rackplan cost`` reads: a bill, tokens, the waterfall, and what all of it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary import plain_text
from sim.cost.answer import Answer
from sim.cost.bill import Bill, Line, Origin
from sim.cost.waterfall import SPENT, STRANDED, USEFUL, Waterfall
from sim.units import format_si

if TYPE_CHECKING:
    from sim.cost.per_token import Estimate, RunCosts

#: Characters of a bar that stands for all that is provisioned.
_BAR = 30
_SIGN = {STRANDED: "░", SPENT: "▒", USEFUL: "█"}


def print_answer(found: Answer, out: Console) -> None:
    """Print everything."""
    number = {origin: str(at) for at, origin in enumerate(found.origins, 1)}
    name = plain_text(found.built.name)
    provisioned = format_si(found.built.provisioned_w, "W")
    out.print(Text(f"What {name} costs: {provisioned} provisioned, {found.built.site.gpus:,} GPUs",
                   "bold"))  # fmt: skip
    out.print(Text("All money is USD. [n]: where a number is from, listed at the end."))
    out.print()
    out.print(_capital(found.capital, number))
    out.print()
    out.print(_year(found.year, number))
    gpu_hour = found.year.per_hour_usd / found.built.site.gpus
    out.print(
        Text(
            f"{_money(found.year.per_hour_usd)} an hour, {gpu_hour:,.2f} for each GPU-hour. "
            f"Energy at {format_si(found.draw_w, 'W')}: {found.draw_is}."
        ),
        soft_wrap=True,
    )
    out.print()
    if found.runs is not None:
        _print_tokens(found.runs, number, out)
    _print_waterfall(found.waterfall, out)
    out.print()
    _print_origins(found.origins, out)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at, heading in enumerate(headings):
        table.add_column(
            heading, justify="left" if at == 0 or heading == "from" else "right", no_wrap=True
        )
    return table


def _capital(bill: Bill, number: dict[Origin, str]) -> Table:
    table = _table("to buy", "number", "each", "total", "lasts", "from")
    for line in bill.lines:
        table.add_row(
            line.item,
            _count(line),
            _price(line.unit_price_usd, line.unit),
            _money(line.total_usd),
            f"{line.life_years:g} years",
            _refs(line, number),
        )
    table.add_row("in all", "", "", _money(bill.total_usd), "", "", style="bold")
    return table


def _count(line: Line) -> str:
    if line.unit.startswith("USD"):
        return f"{_money(line.number)} of {line.unit.partition(' of ')[2]}"
    return f"{line.number:,.10g} {line.unit}"


def _price(usd: float, unit: str) -> str:
    return f"{100 * usd:.4g} %" if unit.startswith("USD") else f"{usd:,.10g}"


def _year(bill: Bill, number: dict[Origin, str]) -> Table:
    table = _table("a year", "number", "each", "total", "share", "from")
    for line in bill.lines:
        if not line.total_usd and line.group == "staff":
            continue  # the default: it is in the maintenance
        price = _money(line.unit_price_usd)
        if line.unit.startswith("USD"):
            price = _price(line.unit_price_usd, line.unit)
        table.add_row(
            line.item,
            f"{line.number:,.0f} MWh" if line.unit == "MWh" else _count(line),
            price,
            _money(line.total_usd),
            f"{100 * line.total_usd / bill.total_usd:.1f} %",
            _refs(line, number),
        )
    table.add_row("in all", "", "", _money(bill.total_usd), "", "", style="bold")
    return table


def _refs(line: Line, number: dict[Origin, str]) -> str:
    return f"[{', '.join(number[origin] for origin in line.origins)}]"


def _money(usd: float) -> str:
    """Four digits: ``1.815 M``, ``248.2 k``, ``12.50``."""
    for factor, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(usd) >= 0.99995 * factor:
            return f"{usd / factor:,.4g} {sign}"
    return f"{usd:,.2f}"


def _print_tokens(runs: RunCosts, number: dict[Origin, str], out: Console) -> None:
    table = _table("of the runs", "mean", "95 % interval over seeds", "from")
    carbon = f"[{number[runs.carbon]}]"
    rows = (
        ("USD per million tokens within SLO", runs.usd_per_mtoken, ""),
        ("gCO2 per million tokens within SLO", runs.carbon_g_per_mtoken, carbon),
        ("requests within SLO a second per provisioned MW", runs.goodput_per_mw, ""),
    )  # fmt: skip
    for name, estimate, source in rows:
        if estimate is None:
            table.add_row(name, "-", "no token was within the SLO", source)
        else:
            table.add_row(name, _four(estimate.value), _interval(estimate), source)
    out.print(table)
    out.print()


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "one seed: none"
    return f"{_four(estimate.low)} to {_four(estimate.high)} ({estimate.seeds} seeds)"


def _four(value: float) -> str:
    """Four digits, without an exponent: ``1.134``, ``18,210``."""
    return f"{float(f'{value:.4g}'):,.10g}"


def _print_waterfall(waterfall: Waterfall, out: Console) -> None:
    how = "mean over the measurement window" if waterfall.measured else "planned, GPUs at their TDP"
    out.print(Text(f"Where the provisioned power stays ({how})", "bold"))
    table = _table("part", "", "power", "share")
    table.add_column("", no_wrap=True)
    table.add_row("provisioned", "", format_si(waterfall.provisioned_mw / 1e3, "W"), "100 %",
                  "█" * _BAR)  # fmt: skip
    at = 1.0
    for part in waterfall.parts:
        share = waterfall.share(part)
        table.add_row(
            part.name,
            part.kind,
            format_si(part.watts, "W"),
            f"{100 * share:.1f} %",
            _bar(at - share, at, _SIGN[part.kind]),
        )
        at -= share
    out.print(table)
    kinds = ((STRANDED, "nothing draws it"), (SPENT, "drawn, not for wanted work"), (USEFUL, ""))
    told = [
        f"{_SIGN[kind]} {kind} {100 * waterfall.total_mw(kind) / waterfall.provisioned_mw:.1f} %"
        + (f" ({meaning})" if meaning else "")
        for kind, meaning in kinds
    ]
    out.print(Text("; ".join(told)), soft_wrap=True)
    for note in waterfall.notes:
        out.print(Text(f"note: {note}"), soft_wrap=True)


def _bar(low: float, high: float, sign: str) -> str:
    """From ``low`` to ``high`` of the whole; its ends meet those of its neighbours."""
    first, last = round(_BAR * low), round(_BAR * high)
    return " " * first + sign * (last - first)


def _print_origins(origins: tuple[Origin, ...], out: Console) -> None:
    out.print(Text("Assumptions", "bold"))
    for at, origin in enumerate(origins, 1):
        text = f"[{at}] {plain_text(origin.where)}: {origin.text}"
        text += f" ({origin.address})" if origin.address.startswith("http") else ""
        out.print(Text(text + (f"; {origin.note}" if origin.note else "")), soft_wrap=True)
