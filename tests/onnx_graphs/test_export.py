import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.translations import operators_listed_once, translations_made_once

torch.set_num_threads(1)

SPEC = IoSpec((TensorSpec("range_image", (1, 5, 16, 64)),), (TensorSpec("logits", (1, 3, 16, 64)),))


class Network(nn.Module):
    """All that range-view networks are made of: strides, circular padding, gates, up-sampling."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(5, width, 3, padding=(1, 0), bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.down = nn.Sequential(
            nn.Conv2d(width, width, 3, (1, 2), 1), nn.BatchNorm2d(width), nn.Hardswish(), nn.Dropout(0.5)
        )
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Sigmoid())
        self.up = nn.Sequential(nn.ConvTranspose2d(width, width, (1, 2), (1, 2)), nn.BatchNorm2d(width))
        self.head = nn.Conv2d(2 * width, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(torch.cat([image[..., -1:], image, image[..., :1]], dim=-1))
        y = self.down(x)
        y = y * self.gate(y)
        bilinear = nn.functional.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([x + bilinear, self.up(y)], dim=1))


def trained(width: int = 8) -> Network:
    """A network whose batch statistics are not those of a fresh one."""
    torch.manual_seed(0)
    network = Network(width)
    for _ in range(3):
        network(torch.randn(2, 5, 16, 64) * 3 + 1)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    network, path = trained(), tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(network, SPEC, path, metadata={"hwnas.architecture_id": "abc", "hwnas.class_names": '["a"]'})
    return network, path


def test_file_computes_what_the_module_computes(exported: tuple[Network, Path]) -> None:
    network, path = exported
    assert network.training, "exporting must leave the module as it was"
    image = np.random.default_rng(0).normal(size=(1, 5, 16, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"range_image": image})
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(image)).numpy()
    network.train()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["hwnas.architecture_id"] == "abc"


def test_graph_is_folded_static_and_says_its_opset(exported: tuple[Network, Path]) -> None:
    model = onnx.load(exported[1])
    assert {node.op_type for node in model.graph.node}.isdisjoint(
        {"BatchNormalization", "Dropout", "Shape", "Cast", "Identity", "Constant"}
    )
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 14)]
    assert model.ir_version == 7
    assert all(
        dim.HasField("dim_value") for v in model.graph.value_info for dim in v.type.tensor_type.shape.dim
    )
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_batch_norm_of_wide_layers_is_folded_too(tmp_path: Path) -> None:
    export_onnx(trained(256), SPEC, tmp_path / "wide.onnx", metadata={})
    assert "BatchNormalization" not in {n.op_type for n in onnx.load(tmp_path / "wide.onnx").graph.node}


def test_same_weights_give_the_same_bytes_in_any_directory(tmp_path: Path) -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    digests = set()
    for name in ("one", "another-directory"):
        directory = tmp_path / name
        directory.mkdir()
        # A copy of this module in each directory: traces hold the path of the module's source.
        (directory / "network.py").write_text(source, encoding="utf-8")
        script = textwrap.dedent("""
            from pathlib import Path
            import network
            network.export_onnx(network.trained(), network.SPEC, Path("model.onnx"), metadata={"b": "1", "a": "2"})
        """)
        environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONHASHSEED": str(len(digests))}
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=directory, env=environment, capture_output=True, check=False
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
        content = (directory / "model.onnx").read_bytes()
        assert str(tmp_path).encode() not in content
        assert b"stack_trace" not in content
        assert b"network.py" not in content
        digests.add(hashlib.sha256(content).hexdigest())
    assert len(digests) == 1


def test_exporter_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(trained(), SPEC, tmp_path / "model.onnx", metadata={})
    assert capfd.readouterr() == ("", "")


class DataDependent(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image[:, :3] if image.sum() > 0 else -image[:, :3]


class WrongClasses(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image[:, :2] * 2


@pytest.mark.parametrize("module", [DataDependent(), WrongClasses()])
def test_what_cannot_be_exported_is_named(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=type(module).__name__):
        export_onnx(module, SPEC, tmp_path / "model.onnx", metadata={})
    assert list(tmp_path.iterdir()) == []


def test_an_opset_that_nobody_knows_is_refused_before_anything_is_traced(tmp_path: Path) -> None:
    class Untraceable(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise AssertionError("must not be traced")

    spec = IoSpec((TensorSpec("image", (1, 2)),), (TensorSpec("y", (1, 2)),))
    for opset in (12, 40):
        with pytest.raises(ExportError, match=rf"An opset is 13 to \d+, but {opset}"):
            export_onnx(Untraceable(), spec, tmp_path / "m.onnx", metadata={}, opset=opset)


def test_the_exporters_table_is_made_once_and_only_our_exports_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.onnx._internal.exporter import _registration

    export_onnx(trained(), SPEC, tmp_path / "first.onnx", metadata={})
    made: list[object] = []
    monkeypatch.setattr(_registration.onnxscript_apis, "get_torchlib_ops", lambda: made.append(1) or [])
    export_onnx(trained(), SPEC, tmp_path / "second.onnx", metadata={})
    assert made == []
    assert (tmp_path / "second.onnx").read_bytes() == (tmp_path / "first.onnx").read_bytes()
    _registration.ONNXRegistry.from_torchlib()
    assert made == [1]


def test_operators_are_listed_once_until_another_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomp_utils = pytest.importorskip("torch.export.decomp_utils")
    make = decomp_utils._collect_all_valid_cia_ops
    export_onnx(trained(), SPEC, tmp_path / "first.onnx", metadata={})
    made: list[Any] = []

    def counted() -> Any:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(decomp_utils, "_collect_all_valid_cia_ops", counted)
    with operators_listed_once():
        kept = decomp_utils._collect_all_valid_cia_ops()
        assert made == []
        assert kept == make()
    assert decomp_utils._collect_all_valid_cia_ops is counted
    export_onnx(trained(), SPEC, tmp_path / "second.onnx", metadata={})
    assert made == []
    assert (tmp_path / "second.onnx").read_bytes() == (tmp_path / "first.onnx").read_bytes()

    library = torch.library.Library("hwnas_listed", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CompositeImplicitAutograd")
    with operators_listed_once():
        again = decomp_utils._collect_all_valid_cia_ops()
    assert torch.ops.hwnas_listed.twice.default in again - kept
    assert len(made) == 1


def test_the_table_of_translations_stays_with_the_thread_that_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registration = pytest.importorskip("torch.onnx._internal.exporter._registration")
    with translations_made_once():
        kept = registration.ONNXRegistry.from_torchlib()
    monkeypatch.setattr(registration.onnxscript_apis, "get_torchlib_ops", list)  # a table in no time
    before = registration.ONNXRegistry.__dict__["from_torchlib"]
    entered, may_leave = threading.Event(), threading.Event()
    tables: list[Any] = []

    def export() -> None:
        with translations_made_once():
            entered.set()
            tables.append(registration.ONNXRegistry.from_torchlib())
            may_leave.wait()

    first = threading.Thread(target=export)
    first.start()
    entered.wait()
    second = threading.Thread(target=export)
    second.start()
    elsewhere = registration.ONNXRegistry.from_torchlib()
    may_leave.set()
    first.join()
    second.join()
    assert tables == [kept, kept]
    assert elsewhere is not kept, "what others make may be changed by them"
    assert registration.ONNXRegistry.__dict__["from_torchlib"] is before
