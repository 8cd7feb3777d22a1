"""Charts of answers in the look of the dashboard; ``sim.plan.pictures`` draws them."""

from __future__ import annotations

import altair as alt

from dashboard.charts.marks import LABEL_PX, finish
from dashboard.style import BAD, POWER_PARTS, SERIES, Ink
from sim.plan.pictures import Look, height_of, layers_of
from sim.plan.told import Chart

_HEIGHT = 260
#: Long names of parts and options are not cut.
_NAME_PX = 260


def told_chart(chart: Chart, ink: Ink) -> alt.LayerChart:
    """A chart of an answer, or of a run that is told like one."""
    look = Look(colours=SERIES, limit=BAD, text=ink.text, parts=POWER_PARTS)
    picture = finish(layers_of(chart, look), height_of(chart, _HEIGHT))
    return picture.configure_axis(
        labelFontSize=LABEL_PX, titleFontSize=LABEL_PX, titlePadding=4, labelLimit=_NAME_PX
    ).configure_legend(labelFontSize=LABEL_PX, offset=2, padding=0)
