"""The settings a latency measurement follows; recorded with every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.errors import ConfigError


@dataclass(frozen=True)
class MeasuringProtocol:
    """How long to warm up, how to sample and when to stop.

    `processes` fresh processes load the model and the reference network, because medians differ more between
    processes than within one. A round clocks in each process a block of the reference, one of the model, and
    the reference again, so that heat and clock drift meet both alike. After each round the interval of the
    ratio is computed; clocking ends when it is narrow enough, or at a limit. A run that looks disturbed is
    repeated.

    Attributes:
        processes: measuring processes, at least 1.
        confidence: of the intervals, between 0 and 1.
        relative_interval: wished half-width of the interval of the ratio as a share of the ratio.
        warmup_s: shortest warm-up of each model in each process, seconds.
        max_warmup_s: longest, unless `warmup_s` is longer; it ends when its last two windows' medians agree.
        warmup_tolerance: relative difference at which they agree.
        block_s: aimed duration of a block of at least 3 samples (fewer if they take longer than a second);
            their number is fixed after the warm-up.
        reference_block_s: aimed duration of both blocks of the reference together.
        max_block_samples: most samples in a block.
        min_rounds: fewest rounds over all processes.
        min_samples: fewest samples of the model, all processes together.
        max_samples: clocking ends at the round that reaches this many, and `min_samples`.
        max_s: clocking ends at the round that reaches this many seconds, `min_rounds` and `min_samples`.
        limit_s: clocking ends at the round that reaches this many seconds, unless `max_s` is more.
        max_spread: robust relative spread of the samples above which the run counts as disturbed.
        max_slow_share: share of samples slower than 1.5 medians above which it does too.
        max_interval: half-width of the interval of the ratio, as a share, above which it does too.
        max_slowdown: by which the reference may be slower than at its best on this target before it does too.
        max_attempts: times that a disturbed run is clocked.
        lock_wait_s: how long to wait for another measurement on the target to finish.
        reply_timeout_s: silence after which the measuring process counts as hung.
        seed: of the input data.
    """

    processes: int = 3
    confidence: float = 0.95
    relative_interval: float = 0.01
    warmup_s: float = 0.1
    max_warmup_s: float = 1.5
    warmup_tolerance: float = 0.02
    block_s: float = 0.1
    reference_block_s: float = 0.06
    max_block_samples: int = 64
    min_rounds: int = 3
    min_samples: int = 30
    max_samples: int = 2000
    max_s: float = 2.5
    limit_s: float = 10.0
    max_spread: float = 0.05
    max_slow_share: float = 0.1
    max_interval: float = 0.05
    max_slowdown: float = 0.25
    max_attempts: int = 3
    lock_wait_s: float = 600.0
    reply_timeout_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that cannot be followed.

        Raises:
            ConfigError: naming the setting, its range and its value.
        """
        for name, low, high in (
            ("processes", 1, 100),
            ("confidence", 0.5, 0.999),
            ("relative_interval", 1e-4, 1.0),
            ("warmup_s", 0.0, 600.0),
            ("max_warmup_s", 0.0, 600.0),
            ("warmup_tolerance", 1e-4, 1.0),
            ("block_s", 1e-3, 60.0),
            ("reference_block_s", 1e-3, 60.0),
            ("max_block_samples", 1, 100_000),
            ("min_rounds", 1, 10_000),
            ("min_samples", 1, 1_000_000),
            ("max_samples", 1, 1_000_000),
            ("max_s", 0.01, 86_400.0),
            ("limit_s", 0.01, 86_400.0),
            ("max_spread", 1e-4, 10.0),
            ("max_slow_share", 0.0, 1.0),
            ("max_interval", 1e-4, 10.0),
            ("max_slowdown", 1e-4, 10.0),
            ("max_attempts", 1, 100),
            ("lock_wait_s", 0.0, 86_400.0),
            ("reply_timeout_s", 0.1, 86_400.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"Measuring setting {name!r} must lie in {low}..{high}, but is {value!r}.")

    @classmethod
    def search(cls) -> MeasuringProtocol:
        """Return the settings for candidates of a search: few seconds each."""
        return cls()

    @classmethod
    def final(cls) -> MeasuringProtocol:
        """Return the settings for figures that are published: more processes, more time, more samples."""
        return cls(
            processes=5,
            warmup_s=0.2,
            max_warmup_s=10.0,
            block_s=0.2,
            reference_block_s=0.1,
            min_rounds=5,
            min_samples=100,
            max_samples=4000,
            max_s=20.0,
            limit_s=60.0,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MeasuringProtocol:
        """Rebuild from `to_json`."""
        return cls(**value)
