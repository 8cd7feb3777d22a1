"""What a user may write: the scenario language, its loader and its shape."""

from sim.spec.document import Document
from sim.spec.reader import read, read_text

__all__ = ["Document", "read", "read_text"]
