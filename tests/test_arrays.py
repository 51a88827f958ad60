"""Files of numpy arrays: damage of any kind is one error, wherever such a file is read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from hwnas.arrays import UnreadableArraysError, load_array, load_arrays
from hwnas.bundle.runtime.arrays import ArraysProcessor
from hwnas.data.scan_files.formats import read_npy
from hwnas.errors import ConfigError, DataError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.model_files.inputs import DeclaredInput, given_inputs

VALUES = np.arange(80, dtype=np.float32).reshape(20, 4)
SYNTAX = np.frombuffer(b"{}()[]'\",:0123456789fTN <>\n", np.uint8)


def array_file() -> bytes:
    content = io.BytesIO()
    np.save(content, VALUES)
    return content.getvalue()


def archive() -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, a=VALUES)
    return content.getvalue()


def damaged(content: bytes, seed: int, first_bytes: int) -> bytes:
    rng = np.random.default_rng(seed)
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place, kind = int(rng.integers(min(first_bytes, len(found)))), int(rng.integers(3))
        if kind == 0:
            found[place] = int(rng.integers(256))
        elif kind == 1:
            del found[place : place + int(rng.integers(1, 8))]
        else:
            found[place:place] = bytes(rng.choice(SYNTAX, int(rng.integers(1, 5))))
    return bytes(found)


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz`")
def test_damaged_files_are_read_or_refused() -> None:
    reasons = []
    for seed in range(1500):
        try:
            load_array(io.BytesIO(damaged(array_file(), seed, 128)))
        except UnreadableArraysError as error:
            reasons.append(str(error))
        try:
            load_arrays(io.BytesIO(damaged(archive(), seed, 1 << 20)))
        except UnreadableArraysError as error:
            reasons.append(str(error))
    assert len(reasons) > 2000
    assert all(reason and "\n" not in reason for reason in reasons)


HEADER_IN_PIECES = array_file().replace(b"}  ", b"} (", 1)
ENCRYPTED = bytearray(archive())
ENCRYPTED[6] |= 1
ENCRYPTED[ENCRYPTED.index(b"PK\1\2") + 8] |= 1


@pytest.mark.parametrize("content", [HEADER_IN_PIECES, b"PK\3\4", archive()[:-30], b"PK\5\6"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy cannot be read as an array of numpy"):
        read_npy(path, {})
    declared = (DeclaredInput(TensorSpec("image", (20, 4))),)
    with pytest.raises(ConfigError, match=r"a\.npy' for the input 'image' is no array of numpy"):
        given_inputs(declared, (f"image={path}",), "m")


@pytest.mark.parametrize("content", [bytes(ENCRYPTED), b"PK\3\4", archive()[:-30], array_file()])
def test_a_damaged_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    spec = TensorSpec("a", (20, 4))
    with pytest.raises(DataError, match=r"a\.npz is no \.npz file of numpy arrays"):
        ArraysProcessor(IoSpec((spec,), (spec,))).read(path)
