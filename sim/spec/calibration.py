"""The ``calibration`` section: which constants speeds and draws rest on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Spec


class CalibrationSpec(Spec):
    """Constants of one's own GPU, and which of the calibrations that the errors allow."""

    file: str | None = Field(
        default=None,
        description="constants that 'rackplan calibrate fit' wrote, relative to the scenario file",
    )
    sample: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="0: the fitted constants; from 1 on: the n-th draw from the errors of the fits",
    )
