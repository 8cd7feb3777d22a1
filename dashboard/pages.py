"""The pages of the dashboard in the order of its menu."""

from __future__ import annotations

#: File under ``views``, which is also its place in the URL, and title.
PAGES = (
    ("overview", "Overview"),
    ("floor", "Floor"),
    ("power", "Power"),
    ("latency", "Latency"),
    ("fabric", "Fabric"),
    ("placement", "Placement"),
    ("compare", "Compare"),
    ("explore", "Explore"),
    ("capacity", "Capacity"),
    ("validity", "Validity"),
    ("scenario", "Scenario"),
    ("run", "Run"),
)
