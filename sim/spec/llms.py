"""The ``llms`` section: LLMs of the catalog, each at a precision."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Name, Spec

LlmName = Annotated[str, Name(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '-' and '_'")]


class LlmSpec(Spec):
    """One LLM at one precision; pools refer to it by ``as`` or, without it, by ``name``."""

    name: str = Field(description="an LLM that 'rackplan catalog llms' lists")
    alias: LlmName | None = Field(
        default=None,
        alias="as",
        description="another name for it, to use one LLM at two precisions",
    )
    precision: str = Field(description="precision of the weights: bf16, fp8, fp4, …")
    kv_precision: str | None = Field(
        default=None,
        description="precision of the KV cache; default: the weights' if 16 or 8 bit, else fp8",
    )
