"""The manifest of a bundle: what is in it, what it does and what was proved about it.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Union

from hwnas.bundle.signature import Trust, check_signature
from hwnas.bundle.untrusted_files import read_small_file
from hwnas.errors import BundleError, ModelFileError
from hwnas.files import checked_path, checked_text, sha256_of_file
from hwnas.io_spec import IoSpec
from hwnas.model_files.external_data import read_model_files

SCHEMA_VERSION = 5
"""5 has a checksum of the manifest itself; older manifests do not and are refused."""
_MAX_MANIFEST_BYTES = 1 << 24
_MAX_NAME_BYTES = 255
FP32 = "fp32"
ONNXRUNTIME = "onnxruntime"
MANIFEST_NAME = "manifest.json"
VERIFICATION_NAME = "verification.json"

_REQUIRED = {
    "files": dict,
    "model": dict,
    "weights": str,
    "io": dict,
    "class_names": list,
    "deployment": dict,
    "processor": str,
    "plugins": dict,
    "task": dict,
    "space": dict,
    "architecture": dict,
    "architecture_id": str,
    "data_fingerprint": str,
    "quality": dict,
    "latency": dict,
    "training": dict,
    "versions": dict,
    "precisions": dict,
    "recommended_precision": str,
}
"""Keys every manifest has, with the type of their JSON value."""


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read, and whose files were checked.

    Attributes:
        directory: of the bundle.
        content: the JSON document, without its checksum.
        io_spec: inputs and outputs of the network.
    """

    directory: Path
    content: Mapping[str, Any]
    io_spec: IoSpec

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.directory / str(self.content["model"]["file"])

    @property
    def precisions(self) -> Mapping[str, Mapping[str, Any]]:
        """The precisions that the bundle holds, each with its file and the figures of its evaluation."""
        precisions: Mapping[str, Mapping[str, Any]] = self.content["precisions"]
        return precisions

    def model_path_of(self, precision: str, backend: str = ONNXRUNTIME) -> Path:
        """Return the ONNX file of a precision, or of the recommended one for `recommended`.

        Args:
            precision: such as `int8`, or the name of an entry, such as `int8.tensorrt`.
            backend: that will compute it: of files in two dialects the one that is for it is taken.

        Raises:
            BundleError: if the bundle does not hold it.
        """
        return self.directory / str(self.entry_for(precision, backend)["file"])

    def entry_for(self, precision: str, backend: str = ONNXRUNTIME) -> Mapping[str, Any]:
        """Return what the manifest says about the file that `model_path_of` names.

        Raises:
            BundleError: if the bundle does not hold it.
        """
        name = self.recommended_for(backend) if precision == "recommended" else precision
        entry = _entry_for(self.precisions, name, backend)
        if entry is None:
            raise BundleError(
                f"{self.directory} holds the precisions {', '.join(self.precisions)}, not {name!r}. "
                f"Export it with `hwnas export --precision {name}`."
            )
        return entry

    def recommended_for(self, backend: str) -> str:
        """Return the recommended precision if it was clocked with a backend, else fp32."""
        return recommended_for(self.content, backend)

    @property
    def weights_path(self) -> Path:
        """The weights the model was exported from, as safetensors."""
        return self.directory / str(self.content["weights"])

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Name of each train id."""
        return tuple(str(name) for name in self.content["class_names"])

    @property
    def processor_name(self) -> str:
        """Registered name of what is before and after the network."""
        return str(self.content["processor"])

    @property
    def deployment(self) -> Mapping[str, Any]:
        """What pre- and post-processing need to know."""
        deployment: Mapping[str, Any] = self.content["deployment"]
        return deployment


def recommended_for(content: Mapping[str, Any], backend: str) -> str:
    """Return the precision that a manifest recommends for a backend: fp32 where another one was clocked.

    Manifests that do not say what was clocked recommend one precision for all.
    """
    stated = content.get("recommendation")
    if isinstance(stated, dict) and stated.get("backend") != backend:
        return FP32
    return str(content.get("recommended_precision", FP32))


def entry_for(content: Mapping[str, Any], precision: str, backend: str) -> Mapping[str, Any]:
    """Return the entry of `precisions` in a manifest that a backend is to compute.

    Raises:
        BundleError: if there is none.
    """
    entry = _entry_for(content["precisions"], precision, backend)
    if entry is None:
        raise BundleError(f"The manifest holds no file in {precision!r} for {backend}. Export it again.")
    return entry


def _entry_for(
    precisions: Mapping[str, Mapping[str, Any]], name: str, backend: str
) -> Optional[Mapping[str, Any]]:
    """Return the entry of that name that is for the backend; else that of the name alone, None if none is."""
    if not isinstance(name, str) or name not in precisions:
        return None
    for entry in precisions.values():
        backends = entry.get("for")
        if entry.get("precision") == name and isinstance(backends, list) and backend in backends:
            return entry
    return precisions[name]


def read_manifest(
    bundle: Union[str, os.PathLike[str]], *, check_files: bool = True, trust: Optional[Trust] = None
) -> Manifest:
    """Read the manifest of `bundle` and check every file that it lists.

    Args:
        bundle: directory that `hwnas export` wrote.
        check_files: False leaves sizes and hashes to the caller, see `file_problems`.
        trust: who must have signed the manifest; None takes unsigned ones, too.

    Raises:
        BundleError: if the manifest is missing, not as it was written, of another schema version or
            incomplete, or if a file is missing, lies outside the bundle, or has another size or SHA-256
            than listed; or if it is not signed as `trust` wants.
    """
    directory = checked_path(bundle, "The bundle", BundleError)
    if trust is not None and not isinstance(trust, Trust):
        raise BundleError(f"`trust` is of the type {type(trust).__name__}; expected a `Trust`, or None.")
    raw = _read_bytes(directory / MANIFEST_NAME)
    text = _whole_text(raw, directory / MANIFEST_NAME)  # damage is told as damage, not as a wrong signature
    if trust is not None:  # before anything is parsed
        check_signature(directory, raw, trust)
    content = _json_object(text, directory / MANIFEST_NAME)
    _check_keys(content, directory)
    for name, entry in content["files"].items():
        _check_entry(directory, name, entry)
    models = _model_files(content, directory)
    for name in (content["model"].get("file"), content["weights"], *models):
        if not isinstance(name, str) or name not in content["files"]:
            raise BundleError(f"The manifest of {directory} uses {name!r} without listing its SHA-256.")
    try:
        io_spec = IoSpec.from_json(content["io"])
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise BundleError(f"The manifest of {directory} has no valid `io` section: {error!r}.") from error
    if not io_spec.inputs or not io_spec.outputs:
        raise BundleError(f"The manifest of {directory} states no inputs or no outputs. Export it again.")
    problems = file_problems(directory, content["files"]) if check_files else {}
    if problems:
        raise BundleError(
            f"{directory}: " + "; ".join(f"{name} {what}" for name, what in problems.items()) + "."
            " Copy the bundle again, or export it again if a change was meant."
        )
    return Manifest(directory, content, io_spec)


def file_problems(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> Dict[str, str]:
    """Return what is wrong with each listed file that is not as listed: size, SHA-256, or external data."""
    problems = {}
    for name, entry in files.items():
        path = directory / name
        if not path.is_file():
            problems[name] = "is missing, or no file"
        elif path.stat().st_size != entry["bytes"]:
            problems[name] = f"has {path.stat().st_size} bytes instead of {entry['bytes']}"
        else:
            digest = sha256_of_file(path)
            if digest != entry["sha256"]:
                problems[name] = f"was changed: its SHA-256 is {digest} instead of {entry['sha256']}"
            elif path.suffix == ".onnx":
                problems.update(_external_problems(directory, name, files))
    return problems


def _external_problems(
    directory: Path, name: str, files: Mapping[str, Mapping[str, Any]]
) -> Iterator[Tuple[str, str]]:
    """Yield what is wrong with the external data of a model: what it reads must be listed, too."""
    try:
        external = read_model_files(directory / name).external
    except ModelFileError as error:
        yield name, f"is not a whole model: {error}"
        return
    beside = PurePosixPath(name).parent
    unlisted = [file.location for file in external if str(beside / file.location) not in files]
    if unlisted:
        yield name, f"keeps weights in {unlisted[0]!r}, which the manifest does not list"


def bundle_directory(path: Any) -> Path:
    """Return the directory of a bundle, absolute and without links; only its manifest is looked for.

    Raises:
        BundleError: if there is none.
    """
    directory = Path(os.path.realpath(checked_path(path, "The bundle", BundleError)))
    manifest = directory / MANIFEST_NAME
    if not os.path.isfile(manifest):
        raise BundleError(_no_bundle(manifest))
    return directory


def _no_bundle(manifest: Path) -> str:
    return (
        f"A bundle is a directory with a {MANIFEST_NAME}, but {manifest} is no file, or a link to one. "
        "`hwnas export RUN` writes bundles."
    )


def _read_bytes(path: Path) -> bytes:
    return read_small_file(path, _MAX_MANIFEST_BYTES, _no_bundle(path))


def _whole_text(raw: bytes, path: Path) -> str:
    """Return the text of a manifest whose checksum is right, without it."""
    try:
        return checked_text(raw.decode("utf-8"))
    except ValueError as error:
        raise BundleError(
            f"{path} is not as an export of this hwnas (schema version {SCHEMA_VERSION}) wrote it: {error}. "
            "Copy the bundle again; if it was copied whole, export it again."
        ) from error


def _json_object(text: str, path: Path) -> Dict[str, Any]:
    try:
        content = json.loads(text)
        # Refused wherever they are: halves of characters, which JSON can escape but nothing can write, and
        # infinite numbers and NaN, which Python reads but JSON does not know.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON: {error}. Copy the bundle again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} must hold a JSON object, but holds {type(content).__name__}.")
    return content


def _check_keys(content: Mapping[str, Any], directory: Path) -> None:
    version = content.get("schema_version")
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        raise BundleError(
            f"{directory} has manifest schema version {version!r}, but this hwnas reads {SCHEMA_VERSION}. "
            "Export again, or use the hwnas that wrote it."
        )
    for key, expected in _REQUIRED.items():
        if key not in content:
            raise BundleError(f"The manifest of {directory} lacks {key!r}. Export the bundle again.")
        if not isinstance(content[key], expected):
            raise BundleError(
                f"`{key}` in the manifest of {directory} must be a {expected.__name__}, "
                f"but is {content[key]!r}."
            )


def _model_files(content: Mapping[str, Any], directory: Path) -> Tuple[str, ...]:
    """Return the files of all precisions, which must be well described."""
    precisions = content["precisions"]
    is_whole = all(
        isinstance(entry, dict) and isinstance(entry.get("file"), str) for entry in precisions.values()
    )
    if not is_whole or FP32 not in precisions or content["recommended_precision"] not in precisions:
        raise BundleError(
            f"The manifest of {directory} does not describe its precisions with their files, "
            "fp32 and a recommended one among them. Export the bundle again."
        )
    return tuple(entry["file"] for entry in precisions.values())


def _check_entry(directory: Path, name: str, entry: Any) -> None:
    """Refuse entries that lead out of the bundle, whatever they lead to."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or not relative.parts:
        raise BundleError(f"The manifest of {directory} lists {name[:200]!r}, which is outside the bundle.")
    if not name.isprintable() or len(name.encode("utf-8")) > _MAX_NAME_BYTES or str(relative) != name:
        raise BundleError(
            f"The manifest of {directory} lists {name[:200]!r}, which is no plain name of a file. "
            "Export the bundle again."
        )
    path = directory / relative
    try:
        is_inside = directory.resolve() in path.resolve().parents
    except (OSError, RuntimeError):  # links that lead in a circle
        is_inside = False
    if not is_inside:
        raise BundleError(f"{path} is a link that leads out of the bundle; replace it by the file itself.")
    is_whole = isinstance(entry, dict) and set(entry) == {"sha256", "bytes"}
    if not is_whole or type(entry["bytes"]) is not int or not isinstance(entry["sha256"], str):
        raise BundleError(f"The manifest of {directory} must give `sha256` and `bytes` of {name!r}.")
