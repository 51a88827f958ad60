"""Bundles that are changed, incomplete or made for something else: refused with the same words as by Python."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError
from hwnas.files import sha256_of_file, with_checksum
from tests.bundle.made_up_bundle import change, manifest_of, rewrite_manifest
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.library import CppError, CppRunner
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_lidar_bundle(tmp_path / "bundle", spec_of(load_sensor("vlp-16"), 256))


def refusals(built: Built, bundle: Path, precision: str = "fp32") -> tuple[str, str]:
    """Return what Python and C++ say of a bundle; empty where they take it."""
    said = ["", ""]
    try:
        Runner(bundle, precision=precision).close()
    except HwnasError as error:
        said[0] = str(error)
    try:
        CppRunner(built, bundle, precision=precision).close()
    except CppError as error:
        said[1] = str(error)
    return said[0], said[1]


def assert_refused_alike(built: Built, bundle: Path, precision: str = "fp32") -> str:
    python, cpp = refusals(built, bundle, precision)
    assert cpp == python
    assert cpp
    return cpp


def test_a_whole_bundle_is_taken_under_any_name(
    built: Built, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = bundle.rename(bundle.with_name('ein Bündel\'s "Name"'))
    assert refusals(built, odd) == ("", "")
    assert refusals(built, odd, "recommended") == ("", "")
    monkeypatch.chdir(odd)
    for name in (".", "./", "../" + odd.name + "//."):
        assert refusals(built, Path(name)) == ("", "")
    (odd / "model.onnx").write_bytes(b"x")
    assert assert_refused_alike(built, Path()).startswith(".: model.onnx has 1 bytes")


CHANGES: dict[str, Change] = {
    "version": lambda m: m.update(schema_version=4),
    "version of text": lambda m: m.update(schema_version="5'\""),
    "version true": lambda m: m.update(schema_version=True),
    "no version": lambda m: m.pop("schema_version"),
    "no key": lambda m: m.pop("io"),
    "list for object": lambda m: m.update(io=[1, 2.5, None, True, "a\n"]),
    "text for list": lambda m: m.update(class_names="a"),
    "number for text": lambda m: m.update(weights=1e-7),
    "unlisted weights": lambda m: m.update(weights="other"),
    "unlisted model": lambda m: m["model"].update(file="other.onnx"),
    "model without file": lambda m: m["model"].pop("file"),
    "outside": lambda m: m["files"].update({"../a": {"sha256": "", "bytes": 1}}),
    "absolute": lambda m: m["files"].update({"/etc/passwd": {"sha256": "", "bytes": 1}}),
    "empty name": lambda m: m["files"].update({"": {"sha256": "", "bytes": 1}}),
    "backslash": lambda m: m["files"].update({"a\\b": {"sha256": "", "bytes": 1}}),
    "not plain": lambda m: m["files"].update({"a//b": {"sha256": "", "bytes": 1}}),
    "control character": lambda m: m["files"].update({"a\x1b[2J\u202e": {"sha256": "", "bytes": 1}}),
    "long name": lambda m: m["files"].update({"ä" * 201: {"sha256": "", "bytes": 1}}),
    "more of a file": lambda m: m["files"]["model.onnx"].update(more=1),
    "bytes true": lambda m: m["files"]["model.onnx"].update(bytes=True),
    "missing file": lambda m: m["files"].update({"gone": {"sha256": "", "bytes": 1}}),
    "other size": lambda m: m["files"]["model.onnx"].update(bytes=7),
    "other hash": lambda m: m["files"]["model.onnx"].update(sha256="0" * 64),
    "two files": lambda m: [entry.update(bytes=3) for entry in m["files"].values()],
    "no fp32": lambda m: m["precisions"].pop("fp32"),
    "precision without file": lambda m: m["precisions"]["int8"].pop("file"),
    "no recommended one": lambda m: m.update(recommended_precision="int4"),
    "no inputs": lambda m: m["io"].update(inputs=[]),
    "inputs missing": lambda m: m["io"].pop("inputs"),
    "input without shape": lambda m: m["io"]["inputs"][0].pop("shape"),
    "other input": lambda m: m["io"]["inputs"][0].update(name="it's"),
    "other shape": lambda m: m["io"]["inputs"][0].update(shape=[1, 5, 17, 256]),
    "two outputs": lambda m: m["io"]["outputs"].append(m["io"]["outputs"][0]),
    "no projection": lambda m: m["deployment"].pop("projection"),
    "low image": lambda m: m["deployment"]["projection"].update(height=8),
    "wide image": lambda m: m["deployment"]["projection"].update(width=4096),
    "other method": lambda m: m["deployment"]["projection"].update(method="cube"),
    "view upside down": lambda m: m["deployment"]["projection"].update(fov_up_deg=-30.0),
    "no view": lambda m: m["deployment"]["projection"].update(method="spherical", fov_up_deg=None),
    "rising beams": lambda m: m["deployment"]["projection"]["beams_deg"].reverse(),
    "other channels": lambda m: m["deployment"]["normalisation"].update(channels=["x"]),
    "one mean": lambda m: m["deployment"]["normalisation"].update(mean=[1.0]),
    "even window": lambda m: m["deployment"]["knn"].update(window=4),
    "half a window": lambda m: m["deployment"]["knn"].update(window=2.5),
    "too many votes": lambda m: m["deployment"]["knn"].update(k=26),
    "no cutoff": lambda m: m["deployment"]["knn"].update(cutoff_m=0),
    "raw id twice": lambda m: m["deployment"]["label_map"]["ignored_raw_ids"].append(10),
    "raw id of text": lambda m: m["deployment"]["label_map"]["ignored_raw_ids"].append("a"),
    "class without name": lambda m: m["deployment"]["label_map"]["classes"][1].update(name=""),
    "intensities": lambda m: m["deployment"].update(intensity_range=[1.0, 1.0]),
    "frame": lambda m: m["deployment"].update(frame="x y y"),
    "unit": lambda m: m["deployment"].update(unit_m=0.0),
    "point order": lambda m: m.update(
        expects={"point_order": "none", "rings": None, "sensor_height_m": None}
    ),
    "no rings": lambda m: m.update(expects={"point_order": "any"}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_changed_manifests(built: Built, bundle: Path, kind: str) -> None:
    change(bundle, CHANGES[kind])
    assert_refused_alike(built, bundle)


def test_bundles_of_other_tasks_say_which_processor_they_have(built: Built, bundle: Path) -> None:
    change(bundle, lambda m: m.update(processor="arrays", task={"name": "other"}))
    with pytest.raises(
        CppError, match=r"for the task 'other' with the processor 'arrays'; points need"
    ) as caught:
        CppRunner(built, bundle)
    assert caught.value.code == 9


def test_so_many_names_that_they_would_take_long_are_refused(built: Built, bundle: Path) -> None:
    change(bundle, lambda m: m["task"].update({str(number): 0 for number in range(15_000)}))
    assert refusals(built, bundle) == ("", "")
    change(bundle, lambda m: m["task"].update({str(number): 0 for number in range(300_000)}))
    python, cpp = refusals(built, bundle)
    assert python == ""
    assert (
        cpp == f"{bundle / 'manifest.json'} is not JSON: it has more than 20000 names. Copy the bundle again."
    )


def test_damage_of_every_kind_is_told_alike(built: Built, bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    whole = manifest.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [
        whole[: len(whole) // 2],
        b"",
        b"\xef\xbb\xbf" + whole,
        whole + b" ",
        whole.replace(b"\n", b"\r\n"),
    ]
    damaged += [
        whole[:9] + bad + whole[9:]
        for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xe2\x82(")
    ]
    for _ in range(40):
        place, bit = int(rng.integers(len(whole))), int(rng.integers(8))
        damaged.append(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    for content in damaged:
        manifest.write_bytes(content)
        assert_refused_alike(built, bundle)


def test_a_manifest_that_is_no_plain_file(built: Built, bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    other = manifest.rename(bundle / "other")
    assert_refused_alike(built, bundle)
    manifest.symlink_to(other)
    assert_refused_alike(built, bundle)
    manifest.unlink()
    os.mkfifo(manifest)
    assert_refused_alike(built, bundle)
    manifest.unlink()
    manifest.mkdir()
    assert_refused_alike(built, bundle)
    manifest.rmdir()
    with manifest.open("wb") as stream:
        stream.truncate((1 << 24) + 1)
    assert "larger than any" in assert_refused_alike(built, bundle)
    assert_refused_alike(built, bundle / "gone")


@pytest.mark.parametrize(
    "text", ["[1]", '"text"', "{", "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}']
)
def test_manifests_that_are_no_objects(built: Built, bundle: Path, text: str) -> None:
    # The reason in brackets is that of the parser.
    body = text if text.startswith("{") and text.endswith("}") else '{"a": ' + text + "}"
    (bundle / "manifest.json").write_text(with_checksum(body))
    python, cpp = refusals(built, bundle)
    assert python
    assert cpp.split(": ")[0] == python.split(": ")[0]


def test_links(built: Built, bundle: Path, tmp_path: Path) -> None:
    model = bundle / "model.onnx"
    outside = shutil.move(model, tmp_path / "outside.onnx")
    model.symlink_to(outside)
    assert "leads out of the bundle" in assert_refused_alike(built, bundle)
    model.unlink()
    model.symlink_to(model)
    assert_refused_alike(built, bundle)
    model.unlink()
    shutil.move(outside, bundle / "real.onnx")
    model.symlink_to("real.onnx")
    assert refusals(built, bundle) == ("", "")


def test_files_that_are_not_those_of_the_manifest(built: Built, bundle: Path) -> None:
    model = bundle / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "was changed: its SHA-256 is" in assert_refused_alike(built, bundle)
    model.unlink()
    assert "is missing, or no file" in assert_refused_alike(built, bundle)


def replace_model(bundle: Path, model: onnx.ModelProto | bytes) -> None:
    """Put another model into a bundle, as a forger would."""
    path = bundle / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    content = manifest_of(bundle)
    content["files"]["model.onnx"] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    rewrite_manifest(bundle, content)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", "", "a/./b.bin", "."])
def test_weights_outside_the_model(built: Built, bundle: Path, location: str) -> None:
    model = onnx.load(bundle / "model.onnx")
    tensor = model.graph.initializer[0]
    values = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(values)))):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    if location == "weights.bin":
        (bundle / location).write_bytes(values)
    if location == "a/./b.bin":
        (bundle / "a").mkdir()
        (bundle / "a" / "b.bin").write_bytes(values)
    replace_model(bundle, model)
    assert_refused_alike(built, bundle)


@pytest.mark.parametrize(
    "content", [b"", b"no model location", b"\x3a\xff\xff\xff\xff\x0flocation", b"\x0blocation"]
)
def test_models_that_are_none(built: Built, bundle: Path, content: bytes) -> None:
    replace_model(bundle, content)
    python, cpp = refusals(built, bundle)
    assert python
    assert cpp == python


def test_networks_with_another_interface(built: Built, bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"
    replace_model(bundle, model)
    assert "states a network" in assert_refused_alike(built, bundle)
    model.graph.node.append(helper.make_node("Cast", ["scores"], ["logits"], to=TensorProto.FLOAT16))
    model.graph.output[0].name = "logits"
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    replace_model(bundle, model)
    assert "must be float32 with fixed sizes, but is tensor(float16)" in assert_refused_alike(built, bundle)


def test_names_that_are_not_utf_8(built: Built, bundle: Path) -> None:
    content = (bundle / "model.onnx").read_bytes()
    assert content.count(b"logits") == 2
    replace_model(bundle, content.replace(b"logits", b"log\xffts"))
    assert "in bytes that are not UTF-8" in assert_refused_alike(built, bundle)


def test_no_byte_of_a_hostile_name_reaches_the_terminal(built: Built, bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="../LOCATION"))
    content = model.SerializeToString()
    for hostile, shown in (
        (b"\xc3\x1b[2Jx.w", "'../\\udcc3\\x1b[2Jx.w'"),
        (b"\xf0\x9f\x1b[2Jx.", "'../\\udcf0\\udc9f"),
    ):
        assert len(hostile) == len(b"LOCATION")
        replace_model(bundle, content.replace(b"LOCATION", hostile))
        said = refusals(built, bundle)[1]
        assert shown in said
        assert "\x1b" not in said


def test_precisions(built: Built, bundle: Path) -> None:
    assert "holds the precisions fp32, fp16, int8, not 'int4'" in assert_refused_alike(built, bundle, "int4")

    def in_two_dialects(content: dict[str, Any]) -> None:
        entry = content["precisions"].pop("int8")
        content["precisions"]["int8"] = {"file": "model.onnx", "precision": "int8", "for": ["tensorrt"]}
        content["precisions"]["int8.onnxruntime"] = entry
        content["recommended_precision"] = "int8"
        content["recommendation"] = {"backend": "onnxruntime"}

    change(bundle, in_two_dialects)
    (bundle / "model.int8.onnx").write_bytes(b"damaged")
    assert "model.int8.onnx" in assert_refused_alike(built, bundle, "recommended")
