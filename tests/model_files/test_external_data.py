from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hwnas.errors import ModelFileError
from hwnas.files import sha256_of_file
from hwnas.model_files.external_data import read_model_files, sha256_of_model
from hwnas.testing.onnx_models import LAYOUTS, keep_outside, write_conv_model, write_external_model


def changed(path: Path, change: object) -> Path:
    model = onnx.load(path, load_external_data=False)
    change(model)  # type: ignore[operator]
    path.write_bytes(model.SerializeToString())
    return path


def tensor_of(shape: list[int], dtype: int = TensorProto.FLOAT, name: str = "w") -> TensorProto:
    return TensorProto(name=name, dims=shape, data_type=dtype)


def model_with(*tensors: TensorProto) -> bytes:
    graph = helper.make_graph([], "g", [], [], list(tensors))
    return helper.make_model(graph).SerializeToString()


def test_a_model_without_external_data_is_its_file(tmp_path: Path) -> None:
    write_conv_model(tmp_path / "m.onnx")
    files = read_model_files(tmp_path / "m.onnx")
    assert files.external == ()
    assert files.size_bytes == (tmp_path / "m.onnx").stat().st_size
    assert files.sha256() == sha256_of_file(tmp_path / "m.onnx")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_files_are_found_and_hashed(tmp_path: Path, layout: str) -> None:
    write_external_model(tmp_path / "m.onnx", layout)
    files = read_model_files(tmp_path / "m.onnx")
    there = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {Path(path) for path in files.paths} == there
    assert files.size_bytes == sum(path.stat().st_size for path in there)
    before = files.sha256()
    assert before == sha256_of_model(tmp_path / "m.onnx") != sha256_of_file(tmp_path / "m.onnx")
    for path in sorted(there):
        content = path.read_bytes()
        if path.suffix == ".bin":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            assert sha256_of_model(tmp_path / "m.onnx") != before
            path.write_bytes(content)
    assert sha256_of_model(tmp_path / "m.onnx") == before


def test_files_of_subgraphs_functions_and_attributes_are_found(tmp_path: Path) -> None:
    def outside(name: str) -> TensorProto:
        (tmp_path / f"{name}.bin").write_bytes(bytes(16))
        tensor = tensor_of([4], name=name)
        keep_outside(tensor, f"{name}.bin")
        return tensor

    body = helper.make_graph([], "body", [], [], [outside("inner")])
    nodes = [
        helper.make_node(
            "If", ["c"], ["y"], then_branch=body, else_branch=helper.make_graph([], "e", [], [])
        ),
        helper.make_node("Constant", [], ["k"], value=outside("attribute")),
    ]
    sparse = helper.make_sparse_tensor(
        outside("values"), helper.make_tensor("index", TensorProto.INT64, [4], range(4)), [9]
    )
    graph = helper.make_graph(nodes, "g", [], [], [], sparse_initializer=[sparse])
    constant = helper.make_node("Constant", [], ["f"], value=outside("function"))
    function = helper.make_function("own", "F", [], ["f"], [constant], [helper.make_opsetid("", 20)])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, functions=[function]).SerializeToString())
    found = {file.location for file in read_model_files(tmp_path / "m.onnx").external}
    assert found == {f"{name}.bin" for name in ("inner", "attribute", "values", "function")}


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "a/../../secret", "..", ".", "", "a\\b", "a\nb", "*/../../x"]
)
def test_locations_outside_the_directory_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    inside = tmp_path / "inside"
    inside.mkdir()
    tensor = tensor_of([4])
    keep_outside(tensor, location)
    (inside / "m.onnx").write_bytes(model_with(tensor))
    with pytest.raises(ModelFileError, match=r"'w'.*must lie beside the model or below it"):
        read_model_files(inside / "m.onnx")


def test_links_may_stay_inside_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "real.bin").write_bytes(bytes(16))
    tensor = tensor_of([4])
    keep_outside(tensor, "link.bin")
    (inside / "m.onnx").write_bytes(model_with(tensor))
    (inside / "link.bin").symlink_to("real.bin")
    assert read_model_files(inside / "m.onnx").external[0].size_bytes == 16
    for target in (tmp_path / "secret", inside / "m.onnx", inside / "link.bin"):
        (inside / "link.bin").unlink()
        (inside / "link.bin").symlink_to(target)
        with pytest.raises(ModelFileError, match=r"link that leads out|cannot be read"):
            read_model_files(inside / "m.onnx")
    (tmp_path / "elsewhere").symlink_to(inside)  # the directory itself may be reached by a link
    (inside / "link.bin").unlink()
    (inside / "link.bin").write_bytes(bytes(16))
    assert read_model_files(tmp_path / "elsewhere" / "m.onnx").external


def test_missing_and_special_files_are_refused(tmp_path: Path) -> None:
    write_external_model(tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        ModelFileError, match=r"weights\.bin.*'weight.'.*Copy all files of the model together"
    ):
        read_model_files(tmp_path / "m.onnx")
    os.mkfifo(tmp_path / "weights.bin")
    with pytest.raises(ModelFileError, match="no plain file"):
        read_model_files(tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").mkdir()
    with pytest.raises(ModelFileError, match="no plain file"):
        read_model_files(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"offset": 49}, r"has 64 bytes, but the tensor 'w' .* bytes 49 to 65"),
        ({"offset": 1 << 62}, "has 64 bytes"),
        ({"offset": -1}, "offset .* whole number"),
        ({"offset": "1e3"}, "offset .* whole number"),
        ({"offset": "٣"}, "offset .* whole number"),
        ({"length": 17}, "needs 16 bytes .* length of 17"),
        ({"length": 8}, "needs 16 bytes .* length of 8"),
    ],
)
def test_wrong_offsets_and_lengths_are_refused(
    tmp_path: Path, entries: dict[str, object], reason: str
) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(64))
    tensor = tensor_of([4])
    keep_outside(tensor, "w.bin", **entries)
    (tmp_path / "m.onnx").write_bytes(model_with(tensor))
    with pytest.raises(ModelFileError, match=reason):
        read_model_files(tmp_path / "m.onnx")


@given(st.integers(0, 40), st.integers(0, 6), st.integers(0, 40), st.integers(0, 6))
def test_only_ranges_that_overlap_in_part_are_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, count: int, other: int, more: int
) -> None:
    directory = tmp_path_factory.getbasetemp() / "overlap"
    directory.mkdir(exist_ok=True)
    (directory / "w.bin").write_bytes(bytes(64))
    first, second = tensor_of([count]), tensor_of([more], name="v")
    keep_outside(first, "w.bin", offset=start)
    keep_outside(second, "./w.bin", offset=other)
    (directory / "m.onnx").write_bytes(model_with(first, second))
    one, two = range(start, start + 4 * count), range(other, other + 4 * more)
    if one == two or not set(one) & set(two):
        assert [file.location for file in read_model_files(directory / "m.onnx").external] == ["w.bin"]
    else:
        with pytest.raises(ModelFileError, match="overlap"):
            read_model_files(directory / "m.onnx")


@pytest.mark.parametrize(
    ("dtype", "count", "size_bytes"),
    [
        (TensorProto.INT4, 5, 3),
        (TensorProto.BOOL, 5, 5),
        (TensorProto.BFLOAT16, 5, 10),
        (TensorProto.DOUBLE, 5, 40),
    ],
)
def test_sizes_follow_the_type(tmp_path: Path, dtype: int, count: int, size_bytes: int) -> None:
    tensor = tensor_of([count], dtype)
    keep_outside(tensor, "w.bin")
    (tmp_path / "m.onnx").write_bytes(model_with(tensor))
    (tmp_path / "w.bin").write_bytes(bytes(size_bytes))
    assert read_model_files(tmp_path / "m.onnx").size_bytes > size_bytes
    (tmp_path / "w.bin").write_bytes(bytes(size_bytes - 1))
    with pytest.raises(ModelFileError, match=f"0 to {size_bytes}"):
        read_model_files(tmp_path / "m.onnx")


def test_texts_and_negative_shapes_are_refused(tmp_path: Path) -> None:
    for tensor in (tensor_of([1], TensorProto.STRING), tensor_of([-4])):
        keep_outside(tensor, "w.bin")
        (tmp_path / "m.onnx").write_bytes(model_with(tensor))
        with pytest.raises(ModelFileError, match="external data cannot hold"):
            read_model_files(tmp_path / "m.onnx")


def test_files_of_many_gigabytes_are_not_read_to_be_counted(tmp_path: Path) -> None:
    count = 1 << 31
    tensor = tensor_of([count])
    keep_outside(tensor, "w.bin", offset=0, length=4 * count)
    (tmp_path / "m.onnx").write_bytes(model_with(tensor))
    with (tmp_path / "w.bin").open("wb") as stream:
        stream.truncate(4 * count)
    assert read_model_files(tmp_path / "m.onnx").size_bytes > 8e9
    with (tmp_path / "m.onnx").open("wb") as stream:
        stream.truncate(1 << 31)
    with pytest.raises(ModelFileError, match="Save the model with external data"):
        read_model_files(tmp_path / "m.onnx")


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"location \xff\xff\xff")
    with pytest.raises(ModelFileError, match="no whole ONNX file"):
        read_model_files(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="must be a file"):
        read_model_files(tmp_path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_model_files(tmp_path / "none.onnx")


def test_a_graph_is_read_from_a_plain_file_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelFileError, match="must be a file, but it is a pipe"):
        read_model_files(tmp_path / "pipe.onnx")
    (tmp_path / "large.onnx").touch()
    os.truncate(tmp_path / "large.onnx", 1 << 31)
    with pytest.raises(ModelFileError, match=r"2147483647 bytes at most\. Save the model with external data"):
        read_model_files(tmp_path / "large.onnx")
