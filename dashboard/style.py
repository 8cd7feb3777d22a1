"""The look that all pages share: colours, the one style sheet, and text that is no markup."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import streamlit as st

# Okabe and Ito's palette, which people with any colour vision can tell apart; the blue is lighter
# than theirs because #0072B2 is too dim on a dark page.
GOOD, NEAR, BAD = "#009E73", "#E69F00", "#D55E00"
BLUE, GREY, PURPLE = "#2B8CC4", "#8A8F98", "#CC79A7"
ORANGE, GREEN, SKY = "#E69F00", "#009E73", "#56B4E9"
#: Colours of several things of one kind, in their order.
SERIES = (BLUE, ORANGE, PURPLE, GREEN, SKY, GREY)
#: Colours of names that have no order (tenants), in turn; none of them is a judgement's.
NAMED = (BLUE, PURPLE, SKY, "#F0E442", "#7F6BB3", "#A6761D", "#44546A")
#: Parts of the provisioned power: what is drawn is blue, what nothing draws is not.
POWER_PARTS = {"provisioned": GREY, "stranded": PURPLE, "spent": SKY, "useful": BLUE}

#: What requests spend their time in → its colour, the same everywhere.
PARTS = {
    "ingress": GREY,
    "ingress and egress": GREY,
    "queue": BLUE,
    "prefill": "#56B4E9",
    "wait for room": "#F0E442",
    "transfer": "#CC79A7",
    "first decode": "#7A5CA8",
    "egress": "#B9BDC6",
    "until it ended": BAD,
}

#: Key of a coloured block → its colour; the style sheet and the pages agree on these.
STATES = {"good": GOOD, "near": NEAR, "bad": BAD, "none": GREY}
MARKS = {"good": "✓", "near": "!", "bad": "✕", "none": "–"}

#: Constant: nothing from a file is ever put into it.
_STYLE = (
    """<style>
.block-container {padding: 1.5rem 1.5rem .5rem 1.5rem; max-width: none;}
header[data-testid="stHeader"] {background: transparent; height: 1.5rem; min-height: 1.5rem;}
div[data-testid="stSidebarHeader"] {height: 2.5rem; min-height: 2.5rem; margin: 0; padding: 0 1rem;}
section[data-testid="stSidebar"] {width: 230px !important; min-width: 230px !important;}
div[data-testid="stSidebarContent"] {padding: 0 .75rem;}
div[data-testid="stSidebarUserContent"] {padding: .5rem 0;}
section[data-testid="stSidebar"] div[data-testid="stSelectbox"] input {font-size: .8rem;}
div[class*="st-key-menu"] {gap: .1rem !important;}
div[class*="st-key-menu"] a {padding: .1rem .5rem; min-height: 0;}
div[class*="st-key-small"] button {min-height: 0; padding: 0;}
div[data-testid="stVerticalBlock"] {gap: .5rem;}
div[data-testid="stMetric"] {padding: .3rem .75rem .4rem .75rem !important;}
div[data-testid="stMetric"] > div {padding: 0;}
div[data-testid="stMetricValue"] {font-size: 1.55rem; line-height: 1.3;}
div[data-testid="stMetricDelta"] {font-size: .8rem;}
div[data-testid="stText"] {font-size: .9rem; line-height: 1.35;}
div[class*="st-key-page-title"] div[data-testid="stText"] {font-weight: 700; font-size: 1.25rem;}
div[class*="st-key-page-question"] div[data-testid="stText"] {font-size: .95rem; opacity: .8;}
div[class*="st-key-title"] div[data-testid="stText"] {font-weight: 650; font-size: 1rem;}
div[class*="st-key-head"] div[data-testid="stText"] {font-weight: 600;}
div[class*="st-key-editor"] textarea {font-family: "Source Code Pro", ui-monospace, monospace;
    font-size: .8rem; line-height: 1.4; white-space: pre; overflow-x: auto; tab-size: 2;}
div[class*="st-key-messages"] code {font-size: .75rem !important; line-height: 1.45;}
div[class*="st-key-small"] div[data-testid="stText"] {font-size: .78rem; opacity: .8;}
"""
    + "".join(
        f'div[class*="st-key-{state}-block"] '
        f"{{border-left: 5px solid {colour}; padding-left: .6rem; gap: 0 !important;}}\n"
        for state, colour in STATES.items()
    )
    + "</style>"
)

_MARKUP = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True)
class Ink:
    """Colours that depend on the theme of the page."""

    text: str
    faint: str
    band: str
    grid: str
    page: str


def apply_style() -> None:
    """Put the style sheet into the page."""
    st.html(_STYLE)


def ink() -> Ink:
    """Colours for text and lines inside charts, which do not follow the page by themselves."""
    if st.context.theme.type == "dark":
        return Ink("#FAFAFA", faint="#B5B9C1", band="#FFFFFF", grid="#3A3F4B", page="#0E1117")
    return Ink("#31333F", faint="#5F6470", band="#000000", grid="#E0E2E8", page="#FFFFFF")


def plain(text: object) -> str:
    """Text that markdown shows as it is: every punctuation mark escaped, on one line.

    For the few places that render markdown and show a user's name; anything longer goes through
    ``st.text`` or a table. A bare address would still become a link, so it is parted by word
    joiners, which nobody sees.
    """
    flat = " ".join(str(text).split())
    parted = re.sub(r"(:|www|@)", "\\1\N{WORD JOINER}", flat)
    return _MARKUP.sub(lambda match: "\\" + match.group(), parted)
