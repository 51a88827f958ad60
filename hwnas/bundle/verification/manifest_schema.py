"""What verification reads of a manifest, checked for structure before anything is made of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictStr, ValidationError

from hwnas.bundle.manifest import Manifest
from hwnas.data.expectations import ScanExpectations
from hwnas.errors import BundleError

Positive = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Json = dict[str, Any]


class _Section(BaseModel):
    """A part of the manifest; numbers are numbers and not texts, keys of newer versions are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Quality(_Section):
    model_config = ConfigDict(strict=True, extra="forbid")

    metric: StrictStr
    value: Share
    per_class: dict[str, FiniteFloat | None]
    num_samples: int
    num_items: int
    items_per_class: dict[str, int]
    confusion: list[list[Annotated[int, Field(ge=0)]]] | None = None


class _WithInterval(_Section):
    quality: _Quality
    interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None


class _Reference(_Section):
    sha256: str
    latency_ms: Positive


class _Latency(_Section):
    latency_ms: Positive
    interval_ms: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    target: str
    fingerprint: Json
    ratio: Positive | None = None
    reference: _Reference | None = None


class _Task(_Section):
    name: str
    settings: Json
    pinned_settings: Json = {}


class _Trainer(_Section):
    name: str
    settings: Json


class _Training(_Section):
    seed: int
    trainer: _Trainer


class _Space(_Section):
    name: str
    restrictions: dict[str, list[bool | int | FiniteFloat | str]]


class _Evaluation(_Section):
    quality: _Quality
    bands: dict[str, FiniteFloat | None]
    same_decision_share: Share


class _Speed(_Section):
    ratio: Positive
    ratio_interval: Annotated[list[Positive], Field(min_length=2, max_length=2)]


class _Precision(_Section):
    file: str
    evaluation: _Evaluation | None = None
    speed: _Speed | None = None


class _Engine(_Section):
    file: str


class _AdaptedFrom(_Section):
    architecture_id: str
    data_fingerprint: str
    quality: _Quality
    method: str
    samples: Annotated[int, Field(ge=1)]
    before: _WithInterval
    after: _WithInterval


class _ManifestSchema(_Section):
    task: _Task
    space: _Space
    training: _Training
    quality: _Quality
    latency: _Latency
    precisions: dict[str, _Precision] = {}
    engines: list[_Engine] = []
    adapted_from: _AdaptedFrom | None = None


def check_manifest(manifest: Manifest) -> None:
    """Return if everything that verification compares is there and of the right kind.

    Raises:
        BundleError: naming what is not.
    """
    try:
        _ManifestSchema.model_validate(dict(manifest.content))
    except ValidationError as error:
        details = error.errors(include_url=False)
        first = "; ".join(
            f"`{'.'.join(map(str, detail['loc']))!s}`: {detail['msg']}, found {detail['input']!r:.100}"
            for detail in details[:3]
        )
        raise BundleError(
            f"The manifest of {manifest.directory} does not state what verification needs ({first}). "
            "Copy the bundle again, or export it again."
        ) from error
    _check_expectations(manifest)


def _check_expectations(manifest: Manifest) -> None:
    """Read what a network expects of scans, as a runner does; other tasks say it in their own way."""
    expects = manifest.content.get("expects")
    deployment = manifest.content.get("deployment")
    if not expects or not isinstance(deployment, dict) or "projection" not in deployment:
        return
    try:
        ScanExpectations.from_json(expects)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BundleError(
            f"The manifest of {manifest.directory} does not say what it expects of scans "
            f"(`expects`: {error!r:.200}). Copy the bundle again, or export it again."
        ) from error
