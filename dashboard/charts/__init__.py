"""The charts, as Altair specifications made from frames: one file a page."""
