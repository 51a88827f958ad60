"""What an engine was built from, with and for; it is loaded for nothing else.

An engine holds weights and machine code for one kind of GPU in the format of one version of TensorRT. Taken
for another model it would answer wrongly without a word: names follow content, and loading compares it all.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Tuple

from hwnas.files import sha256_of_file
from hwnas.latency.backends.engine_cache import key_of
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.plan_file import read_plan_header

ANY_AMPERE, SAME_CAPABILITY = "ampere-plus", "same-compute-capability"
_AMPERE = (8, 0)


@dataclass(frozen=True)
class Machine:
    """Where an engine is to run.

    Attributes:
        product: `tensorrt` or `tensorrt-rtx`.
        version: of it.
        gpu: name of the GPU.
        compute_capability: of the GPU, such as 8.7.
    """

    product: str
    version: str
    gpu: str
    compute_capability: str


@dataclass(frozen=True)
class EngineIdentity:
    """What an engine is.

    Attributes:
        product: `tensorrt` or `tensorrt-rtx`.
        version: of it.
        gpu: name of the GPU it was built on; empty if it was built without one.
        compute_capabilities: that it is for, such as 8.7.
        model_sha256: of the ONNX file.
        settings: of the build.
        engine_sha256: of the engine itself: two builds from the same differ.
        engine_bytes: its size.
        typing: `strong` or `weak`, see `tensorrt_build`.
    """

    product: str
    version: str
    gpu: str
    compute_capabilities: Tuple[str, ...]
    model_sha256: str
    settings: Mapping[str, Any]
    engine_sha256: str
    engine_bytes: int
    typing: str

    @property
    def file_name(self) -> str:
        """A name that no other engine has; the first words are for people."""
        device = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-") or "-".join(
            "sm" + capability.replace(".", "") for capability in self.compute_capabilities
        )
        return f"{self.product}-{self.version}-{device}-{key_of(self.to_json())[:16]}.engine"

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "compute_capabilities": list(self.compute_capabilities),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EngineIdentity:
        """Rebuild from `to_json`.

        Raises:
            AgentError: for anything else.
        """
        try:
            texts = {
                name: str(value[name])
                for name in ("product", "version", "gpu", "model_sha256", "engine_sha256", "typing")
            }
            return cls(
                compute_capabilities=tuple(str(number) for number in value["compute_capabilities"]),
                settings=dict(value["settings"]),
                engine_bytes=int(value["engine_bytes"]),
                **texts,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"The record of an engine is not whole ({error!r}). Build it again.") from error


def check_engine(path: str, identity: EngineIdentity, here: Machine, model_sha256: str = "") -> None:
    """Refuse an engine file that is not what its record says, or is for something else than what is here.

    Args:
        path: of the engine.
        identity: its record.
        here: where it is to run.
        model_sha256: of the ONNX file that it must stand for; not compared if empty.

    Raises:
        AgentError: with everything that differs.
    """
    found = [*_file_differences(path, identity), *_differences(identity, here)]
    if model_sha256 and model_sha256 != identity.model_sha256:
        found.append(f"it is of another model: {identity.model_sha256} instead of {model_sha256}")
    if found:
        raise AgentError(
            f"The engine {path!r} is not for this: {'; '.join(found)}. Build one here from the ONNX file, "
            "for instance with `hwnas export --engine`."
        )


def _file_differences(path: str, identity: EngineIdentity) -> List[str]:
    header = read_plan_header(path)
    found = []
    digest = sha256_of_file(path)
    if digest != identity.engine_sha256:
        found.append(f"the file was changed: its SHA-256 is {digest} instead of {identity.engine_sha256}")
    if header.product != identity.product or not _same_version(header.version, identity.version):
        found.append(
            f"its header says {header.product} {header.version}, its record {identity.product} "
            f"{identity.version}"
        )
    return found


def _differences(identity: EngineIdentity, here: Machine) -> List[str]:
    found = []
    if identity.product != here.product:
        found.append(f"it is for {identity.product}, not for {here.product}")
    elif not _is_version_fit(identity, here.version):
        found.append(f"it was built with {identity.product} {identity.version}, here is {here.version}")
    if not _is_gpu_fit(identity, here):
        built_on = f"{identity.gpu} (" if identity.gpu else "GPUs ("
        capabilities = " and ".join(identity.compute_capabilities)
        found.append(
            f"it is for {built_on}compute capability {capabilities}), here is {here.gpu} "
            f"({here.compute_capability})"
        )
    return found


def _is_version_fit(identity: EngineIdentity, version: str) -> bool:
    if _same_version(identity.version, version):
        return True
    # Version-compatible engines run on later ones, up to the next major version (support matrix of 11.4.1).
    built, found = _numbers(identity.version), _numbers(version)
    return bool(identity.settings.get("version_compatible")) and built < found and found[0] <= built[0] + 1


def _is_gpu_fit(identity: EngineIdentity, here: Machine) -> bool:
    level = identity.settings.get("hardware_compatibility", "none")
    is_of_capability = here.compute_capability in identity.compute_capabilities
    if level == ANY_AMPERE:
        return _numbers(here.compute_capability) >= _AMPERE
    if level == SAME_CAPABILITY or identity.product == "tensorrt-rtx":
        return is_of_capability
    return is_of_capability and identity.gpu == here.gpu


def _same_version(first: str, second: str) -> bool:
    """Compare as many numbers as both have: packages name fewer of them than engines."""
    one, two = _numbers(first), _numbers(second)
    length = min(len(one), len(two))
    return length >= 3 and one[:length] == two[:length]


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
