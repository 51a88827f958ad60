"""What verification asks of a bundle, and what it found: one entry for each check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

VERIFICATION_SCHEMA_VERSION = 1


VerificationListener = Callable[[str], None]
"""Is told in words what is checked next."""


@dataclass(frozen=True)
class VerificationSettings:
    """How close is close enough.

    Attributes:
        min_same_decision_share: of decisions, see `Task.decisions`, that ONNX and PyTorch must agree on.
        max_relative_l2: norm of the difference of an output over its norm.
        max_quality_difference: of the task's metric (0..1), 0.001 = 0.1 point.
        latency_tolerance: relative difference of medians that is still the same latency. Medians
            of separate processes on one machine differ by more than the interval of any one of
            them says, by how memory was laid out and by what else runs.
        latency_attempts: a measurement that its own protocol calls disturbed, or that is further
            off than the tolerance, is repeated until there are this many; all are in the verification.
        parity_inputs: inputs on which outputs are compared, from the start of the split.
        split: of the data set.
        min_same_decision_share_fp16: of decisions in which the FP16 file must agree with fp32.
        max_same_decision_difference: between the stated and the found share of decisions that a
            precision takes like fp32; kernels of other processors sum in another order.
        threads: of the ONNX runtime while evaluating quality.
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


@dataclass(frozen=True)
class Check:
    """One thing that a bundle states, and what was found of it.

    Attributes:
        name: of the check.
        passed: None when it does not apply, which `note` explains.
        expected: what the bundle states.
        found: what was found here.
        limit: how far the two may be apart, in words.
        note: anything a reader must know.
    """

    name: str
    passed: bool | None
    expected: Any
    found: Any
    limit: str
    note: str = ""


@dataclass(frozen=True)
class Verification:
    """All checks of one bundle.

    Attributes:
        architecture_id: of the bundle's network.
        checks: in the order in which they were made.
        facts: what was measured without a stated figure to compare it to.
        versions: with what the bundle was verified.
        created: when, ISO 8601, UTC.
    """

    architecture_id: str
    checks: tuple[Check, ...]
    facts: dict[str, Any]
    versions: dict[str, str | None]
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
        return {"schema_version": VERIFICATION_SCHEMA_VERSION, "passed": self.passed, **asdict(self)}
