"""What verification asks of a bundle, and what it found: one entry for each check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.bundle.manifest import VERIFICATION_NAME
from hwnas.errors import StudyError
from hwnas.files import read_checked_json
from hwnas.json_values import JsonValue
from hwnas.text import counted, html_table, one_line, shown
from hwnas.thread_counts import checked_threads

if TYPE_CHECKING:
    from hwnas.bundle.verification.parity import Parity
    from hwnas.latency.measurement import LatencyMeasurement
    from hwnas.tasks.base import Quality
    from hwnas.tasks.batch_evaluation import Evaluation

VERIFICATION_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class VerificationSettings:
    """How close is close enough.

    Attributes:
        min_same_decision_share: share of decisions, see `Task.decisions`, that ONNX and PyTorch must agree
            on.
        max_relative_l2: norm of the difference of an output over its norm.
        max_quality_difference: difference of the task's metric (0..1), 0.001 = 0.1 point.
        latency_tolerance: relative difference of medians that is still the same latency. Medians
            of separate processes on one machine differ by more than the interval of any one of
            them says, by how memory was laid out and by what else runs.
        latency_attempts: a measurement that its own protocol calls disturbed, or that is further
            off than the tolerance, is repeated until there are this many; all are in the verification.
        parity_inputs: inputs on which outputs are compared, from the start of the split.
        split: split of the data set.
        min_same_decision_share_fp16: share of decisions in which the FP16 file must agree with fp32.
        max_same_decision_difference: between the stated and the found share of decisions that a
            precision takes like fp32; kernels of other processors sum in another order.
        threads: number of threads of the ONNX runtime while evaluating quality.
    """

    min_same_decision_share: float = 0.999
    max_relative_l2: float = 1e-3
    max_quality_difference: float = 1e-3
    latency_tolerance: float = 0.10
    latency_attempts: int = 3
    parity_inputs: int = 16
    split: str = "val"
    min_same_decision_share_fp16: float = 0.99
    max_same_decision_difference: float = 0.005
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse a wrong number of threads.

        Raises:
            ConfigError: naming what is expected.
        """
        checked_threads(self.threads)


@dataclass(frozen=True)
class Check:
    """One thing that a bundle states, and what was found of it.

    Attributes:
        name: what is checked, such as `latency as stated`.
        passed: None when it does not apply, which `note` explains.
        expected: what the bundle states.
        found: what was found here.
        limit: how far the two may be apart, in words.
        note: anything a reader must know.
    """

    name: str
    passed: bool | None
    expected: JsonValue
    found: JsonValue
    limit: str
    note: str = ""


@dataclass(frozen=True)
class VerificationFacts:
    """What was found, whatever the bundle states; nothing of it where a file of the bundle was changed.

    Attributes:
        parity: agreement of the outputs of ONNX Runtime and PyTorch.
        quality: quality, as trainers evaluate the exported network.
        precisions: evaluation of every precision, by name; empty where the bundle states none.
        latencies: every attempt at measuring the fp32 model, without single samples.
    """

    parity: Parity | None = None
    quality: Quality | None = None
    precisions: Mapping[str, Evaluation] = field(default_factory=dict)
    latencies: tuple[LatencyMeasurement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, those alone that are known."""
        known = {
            "parity": self.parity and self.parity.to_json(),
            "quality": self.quality and self.quality.to_json(),
            "precisions": {name: each.to_json() for name, each in self.precisions.items()},
            "latency": [each.to_json(with_samples=False) for each in self.latencies],
        }
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True)
class Verification:
    """All checks of one bundle.

    Attributes:
        architecture_id: architecture id of the bundle's network.
        checks: every check, in the order in which they were made.
        facts: what was evaluated and measured, whatever the bundle states.
        versions: versions of the software with which the bundle was verified.
        created: when, ISO 8601, UTC.
    """

    architecture_id: str
    checks: tuple[Check, ...]
    facts: VerificationFacts
    versions: Mapping[str, str | None]
    created: str

    @property
    def passed(self) -> bool:
        """Whether every check that applies holds."""
        return all(check.passed is not False for check in self.checks)

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        """Checks that do not hold."""
        return tuple(check for check in self.checks if check.passed is False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "schema_version": VERIFICATION_SCHEMA_VERSION,
            "passed": self.passed,
            **asdict(self),
            "facts": self.facts.to_json(),
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.architecture_id,
            "passed" if self.passed else f"failed: {', '.join(check.name for check in self.failed_checks)}",
            counted(len(self.checks), "check"),
        )

    def _repr_html_(self) -> str:
        """Return the checks for notebooks; text from outside is escaped."""
        words = {True: "holds", False: "fails", None: "does not apply"}
        rows = [
            [check.name, words[check.passed], shown(check.expected), shown(check.found), check.note]
            for check in self.checks
        ]
        return html_table(repr(self).strip("<>"), ("check", "", "expected", "found", "note"), rows)


def passed_verification(bundle: Path) -> bool | None:
    """Return the outcome of the last verification of a bundle; None where there is none.

    Raises:
        StudyError: if the file that says so is damaged.
    """
    path = bundle / VERIFICATION_NAME
    try:
        passed = read_checked_json(path)["passed"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is no result of verification: {error}. Verify again.") from error
    return None if passed is None else bool(passed)
