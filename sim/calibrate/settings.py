"""How measuring is done. All of it is written into the file of the measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Times in seconds; shares as fractions.

    Attributes:
        target: half of the interval of a median that is narrow enough, as a share of it.
        least_samples: samples of each case at least; with 7 the widest interval covers 98 %.
        most_samples: samples of each case at most, however wide the interval.
        group: kernels that are measured in turns.
        least_sample_s: warm launches are repeated until a sample lasts so long.
        most_launches: launches in a sample at most.
        drift: the reference may be off by this, or by the noise of this machine if that is more.
        patience: rounds in a row thrown away for drift before the new clock is accepted.
        share: time for one kernel at most, as a share of the budget, once it has its least samples.
        most_share_s: the same in seconds.
        launch_share: a kernel whose least samples would take more of the budget is left out.
        warm_up: share of the budget to reach a steady clock at most.
    """

    target: float = 0.02
    least_samples: int = 7
    most_samples: int = 60
    group: int = 6
    least_sample_s: float = 200e-6
    most_launches: int = 256
    drift: float = 0.05
    patience: int = 3
    share: float = 0.005
    most_share_s: float = 0.3
    launch_share: float = 0.1
    warm_up: float = 0.05

    def launches(self, once_s: float) -> int:
        """Launches in a warm sample of a kernel that takes ``once_s``."""
        wanted = math.ceil(self.least_sample_s / max(once_s, 1e-9))
        return min(max(wanted, 1), self.most_launches)
