"""``rackplan catalog``: the hardware and LLMs known, and where each number comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim.errors import UnknownName, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from sim.catalog import Entry, Field

#: Every table fits in this many columns.
_NARROWEST = 80
#: Columns for the names of serving stacks, where no terminal has a width of its own.
_STACKS = 110
_HEADINGS = {
    "gpu": ("memory", "bandwidth", "bf16", "fp8", "TDP"),
    "node": ("GPUs", "nameplate", "base", "fans", "network"),
    "rack": ("nodes", "GPUs", "rating", "NVLink"),
    "llm": ("total", "active", "layers", "window", "weights", "KV/token"),
    "gear": ("loss at 0 %", "50 %", "100 %"),
    "breaker": ("opens at 125 % after", "150 %", "200 %", "at once from"),
    "ups": ("for ever", "carries 125 %", "150 %", "125 % on battery"),
    "precision": ("bits per weight",),
    "plant": ("air supply", "liquid supply", "fans, pumps, tower", "water"),
    "measured": ("LLM", "on", "prompts to", "sequences to"),
    "switch": ("ports", "each", "latency"),
    "link": ("rate", "latency", "cables"),
    "superpod": ("servers", "leaves", "spines", "cores", "cables"),
    "price": ("a server", "of"),
    "cost": ("building and plant", "servers' life", "discount rate", "energy"),
}
_TITLES = {
    "gpu": "GPUs",
    "node": "servers",
    "rack": "racks",
    "llm": "LLMs",
    "gear": "power gear",
    "breaker": "breakers",
    "ups": "UPSs",
    "precision": "precisions",
    "plant": "cooling plants",
    "measured": "measured steps",
    "switch": "network switches",
    "link": "links",
    "superpod": "published clusters",
    "price": "prices of servers",
    "cost": "other costs",
}


def catalog(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="gpu, node, rack, llm, gear, breaker, ups, precision, plant, measured, switch, "
            "link, superpod, price (of servers), cost (all others) or stack (serving stacks)."
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One entry of that kind.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show the hardware and LLMs that scenarios can name, and the source of every number.

    Without arguments: every name. With a kind: its main numbers. With a name: all of its
    numbers, each with unit, source, licence and whether it was read there or assumed.
    """
    from rich.console import Console

    from sim.catalog import KINDS, entry
    from sim.cli.catalog_stacks import show_stacks

    if kind is not None and kind.casefold() in ("stack", "stacks"):
        terminal = Console().is_terminal
        show_stacks(Console(width=None if terminal else _STACKS), name, as_json)
        return
    if kind is not None and name is None and _kind(kind) is None:
        kind, name = _find(kind)
    if kind is not None:
        known = _kind(kind)
        if known is None:
            kinds = (*KINDS, "stack")
            raise UnknownName("catalog kind", kind, kinds, len(kinds))
        kind = known
    if as_json:
        _print_json(kind, name)
        return
    console = Console()
    if console.width < _NARROWEST:
        console = Console(width=_NARROWEST)  # a terminal wraps a long line; rich would cut names
    if kind is None:
        _show_kinds(console)
    elif name is None:
        _show_kind(console, kind)
    else:
        _show_entry(console, entry(kind, name))


def _kind(word: str) -> str | None:
    """The kind that ``word`` names, singular or plural, or None."""
    from sim.catalog import KINDS

    lowered = word.casefold()
    return next((kind for kind in KINDS if lowered in (kind, f"{kind}s")), None)


def _find(name: str) -> tuple[str, str]:
    """The kind of an entry that was named alone; a name itself goes before an alias."""
    from sim.catalog import KINDS, entry, names

    for kind in KINDS:
        if name in names(kind):
            return kind, name
    for kind in KINDS:
        try:
            return kind, entry(kind, name).name
        except UnknownName:
            continue
    known = [*KINDS, *(known for kind in KINDS for known in names(kind))]
    close = nearest(name, known)
    raise UnknownName(
        "catalog kind or name", name, KINDS if close is None else (close,), len(KINDS)
    )


def _show_kinds(console: Console) -> None:
    from rich.table import Table

    from sim.catalog import KINDS, names
    from sim.perf.stacks import stack_names

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for kind in KINDS:
        table.add_row(kind, ", ".join(names(kind)))
    table.add_row("stack", ", ".join(stack_names()))
    console.print(table)
    console.print(
        "\n[dim]rackplan catalog KIND for the main numbers, "
        "rackplan catalog KIND NAME for all of them with their sources[/dim]"
    )


def _show_kind(console: Console, kind: str) -> None:
    from rich import box
    from rich.table import Table

    from sim.catalog import names
    from sim.cli.catalog_numbers import main_numbers

    table = Table(
        box=box.SIMPLE, pad_edge=False, collapse_padding=True, title=_TITLES[kind],
        title_justify="left",
    )  # fmt: skip
    table.add_column("name", style="bold", no_wrap=True)
    for heading in _HEADINGS[kind]:
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names(kind):
        table.add_row(name, *main_numbers(kind, name))
    console.print(table)
    if kind == "llm":
        console.print(
            "total, active: parameters. window: layers that see one only. KV/token: in bf16."
        )


def _show_entry(console: Console, shown: Entry) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("field", style="bold", no_wrap=True)
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("mark", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for field in shown.fields:
        source = field.source.id if field.source else ""
        mark = f"[yellow]{field.mark}[/yellow]" if field.mark == "assumed" else field.mark
        table.add_row(field.key, _value(field), mark, source)
    console.print(f"[bold]{shown.name}[/bold] ({shown.kind}, {shown.file})")
    console.print(table)
    for field in shown.fields:
        if field.note:
            console.print(f"[bold]{field.key}[/bold]: {field.note}", highlight=False)
    console.print("\nread: found in the source. assumed: remembered, derived or chosen (see note).")
    sources = {field.source.id: field.source for field in shown.fields if field.source}
    for cited in sources.values():
        console.print(
            f"[bold]{cited.id}[/bold]: {cited.title}\n  {cited.address} · {cited.licence}",
            highlight=False,
            soft_wrap=True,
        )


def _value(field: Field) -> str:
    """The value as written; large bare numbers get thousands separators or a power of ten."""
    if field.value is None or field.unit or not field.text.replace(".", "").isdigit():
        return field.text
    return f"{field.value:,.0f}" if field.value >= 10_000 else field.text


def _print_json(kind: str | None, name: str | None) -> None:
    from json import dumps

    from sim.catalog import KINDS, entry, names

    if kind is None:
        typer.echo(dumps({each: list(names(each)) for each in KINDS}, indent=2))
    elif name is None:
        typer.echo(dumps([_as_dict(entry(kind, each)) for each in names(kind)], indent=2))
    else:
        typer.echo(dumps(_as_dict(entry(kind, name)), indent=2))


def _as_dict(shown: Entry) -> dict[str, object]:
    return {
        "kind": shown.kind,
        "name": shown.name,
        "file": shown.file,
        "fields": {field.key: _field_as_dict(field) for field in shown.fields},
    }


def _field_as_dict(field: Field) -> dict[str, object]:
    source = field.source
    return {
        "text": field.text,
        "value": field.value,
        "unit": field.unit,
        "mark": field.mark or None,
        "source": source.id if source else None,
        "title": source.title if source else None,
        "address": source.address if source else None,
        "licence": source.licence if source else None,
        "note": field.note or None,
    }
