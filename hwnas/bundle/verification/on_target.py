"""Verification with a meter of its own: under the protocol, and on the target, that the bundle states."""

from __future__ import annotations

from pathlib import Path

import torch

from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.signature import Trust
from hwnas.bundle.verification.manifest_schema import check_manifest
from hwnas.bundle.verification.result import Verification, VerificationSettings
from hwnas.bundle.verification.verify import verify_bundle
from hwnas.errors import BundleError
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.progress import Listener


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def verify_on_target(
    bundle: Path,
    *,
    data: str | None = None,
    target: str | None = None,
    settings: VerificationSettings | None = None,
    trust: Trust | None = None,
    progress: Listener[str] | None = None,
) -> Verification:
    """Verify a bundle, measuring under the protocol that its own latency was measured under.

    Args:
        bundle: directory that `hwnas export` wrote.
        data: data set to evaluate on instead of the one that the network was trained with.
        target: URL of the target to measure on instead of the bundle's.
        settings: how close is close enough.
        trust: who must have signed the manifest; None takes unsigned ones, too.
        progress: is told what is checked next.

    Raises:
        HwnasError: see `hwnas.bundle.verification.verify.verify_bundle`.
    """
    manifest = read_manifest(bundle, check_files=False, trust=trust)
    check_manifest(manifest)
    stated = manifest.content["latency"]
    try:
        protocol, stated_target = MeasuringProtocol.from_json(stated["protocol"]), stated["target"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"The manifest of {bundle} does not say how its latency was measured ({error!r}). "
            "Export it again."
        ) from error
    with open_meter(target or stated_target, protocol) as meter:
        return verify_bundle(
            bundle,
            meter,
            data=data,
            other_target=target is not None,
            settings=settings,
            trust=trust,
            progress=progress,
        )
