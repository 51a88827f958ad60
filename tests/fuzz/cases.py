"""Cases: what is done to a bundle, as a function of a seed and a number alone.

Half of them leave the hashes of the manifest and its checksum as they are, so that the checks must notice; the
others compute them anew, so that whatever reads the files gets to see what was done.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.bundle.manifest import MANIFEST_NAME
from hwnas.files import checked_json, sha256_of_file, with_checksum
from tests.fuzz.models import HOSTILE_MODELS

LARGE_BYTES = (1 << 22, 1 << 22, 1 << 22, 1 << 27)
_DEPTH = 100_000
TRAVERSALS = (
    "../outside/secret", "../outside/pipe", "/etc/passwd", "./../outside/secret", "a/../../outside/secret",
    "..\\outside\\secret", "//outside", "~/secret", "file:///etc/passwd", "\x00", "a\x00b", "\ud800", ".", "..", "",
    "a" * 5000, "model.onnx/..", "con", "model.onnx/", "manifest.json",
)  # fmt: skip
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, -(2**63), 2**64, 10**400, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), -float("inf"), "", "x", "0", "nan", [], {}, [[]], [{}], {"": None}, [None], ["x"],
    [1e308] * 4, [-1], [0, 0], [2**40, 2**40], "\ud800", "é" * 100_000, [0] * 100_000, {"file": "../outside/secret"},
    *TRAVERSALS,
)  # fmt: skip
HOSTILE_TEXTS = (
    "[" * _DEPTH, '{"a":' * _DEPTH, '{"a":' * _DEPTH + "1" + "}" * _DEPTH, f'{{"a": {"[" * _DEPTH}{"]" * _DEPTH}}}',
    "1" * 10_000, f'{{"a": {"1" * 10_000}}}', "null", '"x"', "{}", "[]", "{x}",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What is done to a copy of the bundle.

    Attributes:
        number: of the case.
        kind: such as `truncate`.
        file: that it is done to.
        are_hashes_new: whether the manifest then lists the changed files correctly, and has its own checksum
            if it was itself changed as JSON.
    """

    number: int
    kind: str
    file: str
    are_hashes_new: bool

    @property
    def is_to_be_noticed(self) -> bool:
        """Whether hashes, or the checksum of the manifest, are not those of what was done."""
        is_damaged_manifest = self.file == MANIFEST_NAME and self.kind != "manifest"
        return is_damaged_manifest or not self.are_hashes_new


def case_of(seed: int, number: int, files: tuple[str, ...]) -> Case:
    """Return a case; the numbers go round kinds and files, chance decides the rest."""
    kinds = (*FILE_CHANGES, "manifest", "manifest", "model", "header")
    kind = kinds[number % len(kinds)]
    rng = _rng(seed, number)
    are_hashes_new = rng.random() < 0.5
    if kind == "manifest":
        return Case(number, kind, MANIFEST_NAME, are_hashes_new)
    if kind == "model":
        return Case(number, kind, "model.onnx", are_hashes_new=True)
    if kind == "header":
        return Case(number, kind, "weights.safetensors", are_hashes_new=True)
    return Case(number, kind, files[rng.randrange(len(files))], are_hashes_new)


def apply(case: Case, seed: int, bundle: Path) -> None:
    """Do to the bundle what the case says."""
    rng = _rng(seed, case.number, "apply")
    path = bundle / case.file
    if case.kind == "manifest":
        _change_manifest(path, rng)
        if case.are_hashes_new:
            with contextlib.suppress(ValueError):  # not every hostile text is an object that can hold one
                path.write_text(with_checksum(path.read_text()))
    elif case.kind == "model":
        HOSTILE_MODELS[rng.randrange(len(HOSTILE_MODELS))](path, rng)
    elif case.kind == "header":
        _change_header(path, rng)
    else:
        FILE_CHANGES[case.kind](path, rng)
    if case.are_hashes_new and case.file != MANIFEST_NAME:
        _list_anew(bundle, case.file)


def _rng(*parts: Any) -> random.Random:
    return random.Random(repr(parts))  # cases are to be the same again


def _list_anew(bundle: Path, name: str) -> None:
    path, manifest = bundle / name, bundle / MANIFEST_NAME
    content = checked_json(manifest.read_text())
    if name not in content["files"] or not path.is_file():
        return
    content["files"][name] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    if path.name == "model.onnx":
        content["latency"]["model_sha256"] = sha256_of_file(path)
    manifest.write_text(with_checksum(json.dumps(content)))


def _truncate(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    kept = rng.choice([0, 1, 7, 8, 9, size // 2, max(0, size - 1), rng.randrange(size + 1)])
    path.write_bytes(path.read_bytes()[:kept])


def _flip_bits(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    head = rng.random() < 0.5  # headers and graphs come first
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        at = rng.randrange(min(len(content), 4096) if head else len(content))
        content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def _overwrite(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    length = min(rng.choice([1, 4, 8, 64, 4096]), len(content) - start)
    content[start : start + length] = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    path.write_bytes(bytes(content))


def _repeat(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice([1, 16, 1024, len(content)])]
    path.write_bytes(content[:start] + piece * rng.choice([2, 3, 10]) + content[start:])


def _random_content(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice([0, 1, 8, 100, 10_000])))


def _large(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as stream:
        stream.truncate(rng.choice(LARGE_BYTES))


def _no_file(path: Path, rng: random.Random) -> None:
    """Put something else where a file was: nothing, a directory, a pipe, or a link to one of them."""
    outside = _outside(path)
    path.unlink()
    choice = rng.randrange(6)
    if choice == 1:
        path.mkdir()
    elif choice == 2:
        os.mkfifo(path)
    elif choice == 3:
        path.symlink_to(outside / "secret")
    elif choice == 4:
        path.symlink_to(outside / "pipe")
    elif choice == 5:
        path.symlink_to(path.name)


def _outside(path: Path) -> Path:
    return next(parent / "outside" for parent in path.parents if (parent / "outside").is_dir())


def _swap(path: Path, rng: random.Random) -> None:
    """Put the content of another file of the bundle there."""
    siblings = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    if siblings:
        shutil.copyfile(rng.choice(siblings), path)


FILE_CHANGES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncate": _truncate,
    "flip bits": _flip_bits,
    "overwrite": _overwrite,
    "repeat": _repeat,
    "random": _random_content,
    "large": _large,
    "no file": _no_file,
    "swap": _swap,
}


def _change_manifest(path: Path, rng: random.Random) -> None:
    content = checked_json(path.read_text())
    if rng.random() < 0.05:
        path.write_text(rng.choice(HOSTILE_TEXTS))
        return
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        _change_value(content, rng)
    path.write_text(json.dumps(content))


def _change_value(content: dict[str, Any], rng: random.Random) -> None:
    """Change one value of a JSON document: replace it, remove it, or give it another key."""
    holder: Any = content
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            break
        holder = inner
    chance = rng.random()
    if chance < 0.15:
        del holder[key]
    elif chance < 0.3 and isinstance(holder, dict):
        holder[rng.choice(TRAVERSALS)] = holder.pop(key) if rng.random() < 0.5 else holder[key]
    else:
        holder[key] = rng.choice(HOSTILE_VALUES)


def _change_header(path: Path, rng: random.Random) -> None:
    """Change the header of a safetensors file: eight bytes with its length, then JSON."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    if rng.random() < 0.2:
        claimed = rng.choice([0, 1, length + 1, 2**31, 2**63, 2**64 - 1])
        path.write_bytes(struct.pack("<Q", claimed) + content[8:])
        return
    for _ in range(rng.choice([1, 1, 3])):
        _change_value(header, rng)
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + body)
