"""What a policy is for, in a sentence of its own."""

from __future__ import annotations

from sim.policies.base import policies


def purpose(role: str, kind: str) -> str:
    """The first sentence of the text of a policy; "" of one that is not known here."""
    found = policies(role).get(kind)
    text = " ".join((found.__doc__ or "").split()) if found is not None else ""
    return f"{text.partition('. ')[0].rstrip('.')}." if text else ""
