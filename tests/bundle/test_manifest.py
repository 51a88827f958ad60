import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hwnas.bundle.manifest import read_manifest
from hwnas.errors import BundleError
from hwnas.files import sha256_of_file, with_checksum, write_json_atomically
from hwnas.testing.onnx_models import write_external_model
from tests.bundle.made_up_bundle import CONTENT, change, manifest_of, write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def test_whole_bundle_is_read_wherever_it_lies(bundle: Path, tmp_path: Path) -> None:
    moved = shutil.move(bundle, tmp_path / "elsewhere")
    manifest = read_manifest(moved)
    assert manifest.model_path.read_bytes().startswith(b"model.onnx")
    assert manifest.weights_path.name == "weights.safetensors"
    assert manifest.class_names == ("a", "b", "c")
    assert manifest.io_spec.inputs[0].shape == (1, 5, 16, 256)
    (tmp_path / "elsewhere" / "verification.json").write_text("{}")
    read_manifest(moved)


def test_changed_truncated_and_missing_files_are_refused(bundle: Path) -> None:
    model = bundle / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"X")
    with pytest.raises(BundleError, match=r"model\.onnx was changed"):
        read_manifest(bundle)
    model.write_bytes(content[:-1])
    with pytest.raises(BundleError, match="999 bytes instead of 1000"):
        read_manifest(bundle)
    model.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_manifest(bundle)
    assert read_manifest(bundle, check_files=False).model_path == model


@pytest.mark.parametrize("key", [key for key in CONTENT if key != "schema_version"])
def test_missing_and_mistyped_keys_are_named(bundle: Path, key: str) -> None:
    change(bundle, lambda content: content.update({key: 3}))
    with pytest.raises(BundleError, match=key):
        read_manifest(bundle)
    change(bundle, lambda content: content.pop(key))
    with pytest.raises(BundleError, match=f"lacks '{key}'"):
        read_manifest(bundle)


@pytest.mark.parametrize("version", [None, 0, 2, 4, 6, True, "5"])
def test_other_schema_versions_are_refused(bundle: Path, version: Any) -> None:
    change(bundle, lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match="schema version"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", ""])
def test_files_outside_the_bundle_are_refused_unread(bundle: Path, name: str) -> None:
    secret = bundle.parent / "secret"
    secret.write_text("s")
    entry = {"sha256": sha256_of_file(secret), "bytes": 1}
    change(bundle, lambda content: content["files"].update({name: entry}))
    with pytest.raises(BundleError, match="outside the bundle"):
        read_manifest(bundle)
    with pytest.raises(BundleError, match="outside the bundle"):
        read_manifest(bundle, check_files=False)


def test_links_out_of_the_bundle_are_refused(bundle: Path) -> None:
    moved = bundle.parent / "model.onnx"
    (bundle / "model.onnx").rename(moved)
    (bundle / "model.onnx").symlink_to(moved)
    with pytest.raises(BundleError, match="link"):
        read_manifest(bundle)


@pytest.mark.parametrize("key", ["model", "weights"])
def test_used_files_must_be_listed(bundle: Path, key: str) -> None:
    (bundle / "other").write_text("x")
    change(bundle, lambda content: content.update({key: {"file": "other"} if key == "model" else "other"}))
    with pytest.raises(BundleError, match="without listing"):
        read_manifest(bundle)


@pytest.mark.parametrize("entry", [None, "abc", {"sha256": "abc"}, {"sha256": "a", "bytes": 1, "x": 2}])
def test_malformed_file_entries_are_refused(bundle: Path, entry: Any) -> None:
    change(bundle, lambda content: content["files"].update({"model.onnx": entry}))
    with pytest.raises(BundleError, match=r"model\.onnx"):
        read_manifest(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"schema_version": NaN}', "\x00"])
def test_what_is_no_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError):
        read_manifest(bundle)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(tmp_path)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(tmp_path / "file")


def test_bundles_may_hold_fp32_only(bundle: Path) -> None:
    def without_others(content: dict[str, Any]) -> None:
        content["precisions"] = {"fp32": content["precisions"]["fp32"]}
        content["recommended_precision"] = "fp32"

    change(bundle, without_others)
    manifest = read_manifest(bundle)
    assert list(manifest.precisions) == ["fp32"]
    assert manifest.model_path_of("recommended") == manifest.model_path_of("fp32") == bundle / "model.onnx"
    with pytest.raises(BundleError, match="--precision int8"):
        manifest.model_path_of("int8")


@pytest.mark.parametrize(
    "update",
    [
        {"precisions": {}},
        {"precisions": {"fp32": "model.onnx"}},
        {"precisions": {"fp32": {"file": 3}}},
        {"precisions": {"int8": {"file": "model.onnx"}}},
        {"recommended_precision": "int8"},
    ],
)
def test_badly_described_precisions_are_refused(bundle: Path, update: dict[str, Any]) -> None:
    change(bundle, lambda content: content.update(update))
    with pytest.raises(BundleError, match="precisions"):
        read_manifest(bundle)


def test_files_of_precisions_must_be_listed(bundle: Path) -> None:
    (bundle / "evil.onnx").write_text("x")
    change(bundle, lambda content: content["precisions"].update(int8={"file": "evil.onnx"}))
    with pytest.raises(BundleError, match="without listing"):
        read_manifest(bundle)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_refused(bundle: Path, number: str) -> None:
    text = json.dumps({**manifest_of(bundle), "more": {"deep": [-1.5]}}).replace("-1.5", number)
    (bundle / "manifest.json").write_text(with_checksum(text))
    with pytest.raises(BundleError, match="is not JSON: Out of range float"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "name", ["a\x00b", "\ud800", "a" * 300, "model.onnx/", "./model.onnx", "a//b", "a\nb"]
)
def test_names_that_no_file_of_ours_has_are_refused(bundle: Path, name: str) -> None:
    change(bundle, lambda content: content["files"].update({name: {"sha256": "a", "bytes": 1}}))
    with pytest.raises(BundleError, match=r"no plain name|is not JSON"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "update",
    [
        {"model": {"file": []}},
        {"model": {}},
        {"io": {"inputs": [], "outputs": []}},
        {"io": {"inputs": [{"name": "x", "shape": [1e999], "dtype": "float32"}], "outputs": []}},
        {"io": {"inputs": 3, "outputs": "x"}},
    ],
)
def test_values_of_the_wrong_kind_are_refused(bundle: Path, update: dict[str, Any]) -> None:
    change(bundle, lambda content: content.update(update))
    with pytest.raises(BundleError):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "entry", [{"sha256": 3, "bytes": 1}, {"sha256": "a", "bytes": "1"}, {"sha256": "a", "bytes": 1.0}]
)
def test_sizes_and_hashes_have_their_types(bundle: Path, entry: dict[str, Any]) -> None:
    change(bundle, lambda content: content["files"].update({"model.onnx": entry}))
    with pytest.raises(BundleError, match="`sha256` and `bytes`"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "\ufeff{}", '{"a": "\\ud800"}']
)
def test_deep_and_long_documents_are_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="it has no checksum"):
        read_manifest(bundle)
    (bundle / "manifest.json").write_text(with_checksum(f'{{"b": {text}}}'))
    with pytest.raises(BundleError, match="is not JSON"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("before", "after"),
    [("12.9961", "92.9961"), ('"window": 5', '"window": 7'), ('"b"', '"d"'), (": ", ":"), ("}\n", "}")],
)
def test_any_changed_character_of_a_manifest_is_noticed(bundle: Path, before: str, after: str) -> None:
    change(bundle, lambda content: content["deployment"].update(mean=12.9961, knn={"window": 5}))
    path = bundle / "manifest.json"
    changed = path.read_text().replace(before, after)
    assert changed != path.read_text()
    path.write_text(changed)
    for check_files in (True, False):
        with pytest.raises(BundleError, match=r"schema version 5.*checksum.*Copy the bundle"):
            read_manifest(bundle, check_files=check_files)


def test_a_manifest_without_a_checksum_is_refused(bundle: Path) -> None:
    assert "checksum" not in read_manifest(bundle).content
    write_json_atomically(bundle / "manifest.json", {**manifest_of(bundle), "schema_version": 4})
    with pytest.raises(BundleError, match=r"schema version 5.*it has no checksum.*export it again"):
        read_manifest(bundle)
    (bundle / "manifest.json").write_bytes(b"\xff{}")
    with pytest.raises(BundleError, match="can't decode byte"):
        read_manifest(bundle)


def test_pipes_links_in_circles_and_endless_files_do_not_stop_it(bundle: Path) -> None:
    model, manifest = bundle / "model.onnx", bundle / "manifest.json"
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(BundleError, match=r"model\.onnx is missing, or no file"):
        read_manifest(bundle)
    model.unlink()
    model.symlink_to("model.onnx")
    with pytest.raises(BundleError, match="link"):
        read_manifest(bundle)
    with manifest.open("r+b") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(BundleError, match="larger than any manifest"):
        read_manifest(bundle)
    manifest.rename(bundle.parent / "elsewhere.json")
    manifest.symlink_to(bundle.parent / "elsewhere.json")
    with pytest.raises(BundleError, match="a link to one"):
        read_manifest(bundle)
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(BundleError, match="no file"):
        read_manifest(bundle)


def test_external_data_of_a_model_must_be_listed(bundle: Path) -> None:
    write_external_model(bundle / "model.onnx", "below")

    def entry_of(path: Path) -> dict[str, Any]:
        return {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}

    change(bundle, lambda content: content["files"].update({"model.onnx": entry_of(bundle / "model.onnx")}))
    with pytest.raises(
        BundleError, match=r"model\.onnx keeps weights in 'deep/er/weight0\.bin', which the man"
    ):
        read_manifest(bundle)
    weights = {path.relative_to(bundle).as_posix(): entry_of(path) for path in bundle.rglob("*.bin")}
    change(bundle, lambda content: content["files"].update(weights))
    assert read_manifest(bundle).model_path == bundle / "model.onnx"
    (bundle / "deep" / "er" / "weight0.bin").unlink()
    with pytest.raises(BundleError, match=r"weight0\.bin is missing"):
        read_manifest(bundle)
