"""Whether a plan of the electrical tree can be wired: names that exist, feeds that pair up."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from sim.errors import BuildError, did_you_mean
from sim.site.types import PowerPlan, Site


def check_wiring(site: Site, plan: PowerPlan) -> None:
    """Refuse a plan that cannot be wired over ``site``.

    Raises:
        BuildError: with the path inside ``power``.
    """
    _check_names(plan)
    reserves = {ups.reserve for ups in plan.ups}
    working = [ups for ups in plan.ups if ups.name not in reserves]
    pdus = plan.pdus_per_row
    if plan.redundancy not in ("N", "2N"):
        raise BuildError("power.pdus.redundancy", f"must be N or 2N, not {plan.redundancy!r}")
    if not 0 <= pdus <= len(ascii_lowercase):
        raise BuildError(
            "power.pdus.per_row", f"must be from 0 to {len(ascii_lowercase)}, not {pdus}"
        )
    if plan.redundancy == "2N":
        if pdus % 2:
            raise BuildError(
                "power.pdus.per_row", f"2N feeds each rack from a pair of PDUs; {pdus} is odd"
            )
        if len(working) == 1:
            raise BuildError(
                "power.ups",
                f"2N needs two UPSs or none; {working[0].name!r} would carry both feeds",
            )
        if not pdus and not working:
            raise BuildError(
                "power.pdus.per_row", "2N needs two PDUs per row, or two UPSs, to feed a rack twice"
            )
        if not pdus and len(working) % 2:
            raise BuildError(
                "power.ups", f"2N feeds racks from pairs of UPSs; {len(working)} is odd"
            )
    rows = len(site.row_names)
    feeders = pdus * rows
    if feeders and len(working) > feeders:
        idle = ", ".join(gear.name for gear in working[feeders:])
        raise BuildError(
            "power.ups",
            f"{len(working)} UPSs for {feeders} PDUs ({pdus} per row): "
            f"nothing would hang from {idle}",
        )


def _check_names(plan: PowerPlan) -> None:
    """Whatever one part calls another by is there, and can do what is asked of it."""
    msbs = [msb.name for msb in plan.msbs]
    ups = [gear.name for gear in plan.ups]
    reserves = {gear.reserve for gear in plan.ups}
    for at, gear in enumerate(plan.ups):
        path = f"power.ups[{at}]"
        if gear.fed_by is not None and gear.fed_by not in msbs:
            raise _unknown(f"{path}.fed_by", "switchboard", gear.fed_by, msbs)
        if gear.reserve is None:
            continue
        if gear.reserve not in ups:
            raise _unknown(f"{path}.reserve", "UPS", gear.reserve, ups)
        if gear.reserve == gear.name or gear.name in reserves:
            raise BuildError(
                f"{path}.reserve", f"{gear.name!r} is a reserve itself, and has none of its own"
            )
    if plan.ups and set(ups) == reserves:
        raise BuildError("power.ups", "every UPS is a reserve; none carries the load")
    if plan.generators and not msbs:
        raise BuildError(
            "power.generators", "generators stand by behind switchboards; state them as `msbs`"
        )
    for at, generator in enumerate(plan.generators):
        for name in generator.feeds:
            if name not in msbs:
                raise _unknown(f"power.generators[{at}].feeds", "switchboard", name, msbs)


def _unknown(path: str, what: str, name: str, known: Sequence[str]) -> BuildError:
    return BuildError(path, f"unknown {what} {name!r}{did_you_mean(name, known)}")
