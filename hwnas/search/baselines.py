"""Which hand-crafted networks a run's own are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwnas.architecture import Choice
from hwnas.errors import ConfigError, did_you_mean
from hwnas.models.baselines import BASELINES
from hwnas.search_spaces.hand_crafted import WIDTH_MULTIPLIERS
from hwnas.text import shown

DEFAULT_NETWORKS = ("salsanext", "fidnet34")
DEFAULT_WIDTH_MULTIPLIERS = (0.25, 0.5)


@dataclass(frozen=True)
class Baselines:
    """Which hand-crafted networks to compare with: every combination of these.

    Attributes:
        networks: by name, such as `salsanext`.
        width_multipliers: of their channels; 1 is as published.
        input_widths: columns of the image; None for those of the networks that they are compared with.
    """

    networks: tuple[str, ...] = DEFAULT_NETWORKS
    width_multipliers: tuple[float, ...] = DEFAULT_WIDTH_MULTIPLIERS
    input_widths: tuple[int, ...] | None = None

    def refuse_unknown(self, input_widths: Sequence[int]) -> None:
        """Refuse what the space `hand-crafted` does not have, in the words of those who compare.

        Args:
            input_widths: columns that the task allows.

        Raises:
            ConfigError: naming what is wrong and what there is.
        """
        columns = input_widths if self.input_widths is None else self.input_widths
        asked: tuple[tuple[str, Sequence[Choice], Sequence[Choice]], ...] = (
            ("The list of networks", self.networks, tuple(BASELINES)),
            ("`width_multipliers=`", self.width_multipliers, WIDTH_MULTIPLIERS),
            ("`input_widths=`", columns, input_widths),
        )
        for option, wanted, known in asked:
            if not wanted:
                raise ConfigError(f"{option} names nothing to compare with; there are {list(known)}.")
            for value in wanted:
                if value not in known:
                    hint = did_you_mean(value, map(str, known)) if isinstance(value, str) else ""
                    raise ConfigError(
                        f"{option} has {shown(value)}, but there are only {list(known)} to compare with."
                        f"{hint}"
                    )

    def choices(self, input_widths: Sequence[int]) -> dict[str, list[Choice]]:
        """Return the restriction of the space `hand-crafted` to these.

        Args:
            input_widths: of the networks that they are compared with.
        """
        columns = input_widths if self.input_widths is None else self.input_widths
        return {
            "network": list(dict.fromkeys(self.networks)),
            "width_multiplier": list(dict.fromkeys(map(float, self.width_multipliers))),
            "input_width": list(dict.fromkeys(columns)),
        }
