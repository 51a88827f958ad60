"""A profile of real networks in half precision, from drawing to the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hwnas.errors import ConfigError, MeasurementError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.latency.measure.model_files import model_and_io
from hwnas.latency.predict.exporting import Exporter, io_spec_of
from hwnas.latency.predict.fitting import MIN_NETWORKS
from hwnas.latency.predict.profiling import ProfileSettings
from hwnas.latency.predict.table import load_table
from hwnas.latency.predict.table_making import make_table
from tests.latency.predict.small_space import CONTRACT, small_space, some

SETTINGS = ProfileSettings(budget_s=600.0, max_networks=MIN_NETWORKS, precision="fp16")
TARGET = "local?backend=onnxruntime-cpu&threads=1"


def test_exported_halves_take_and_give_singles() -> None:
    (architecture,) = some(1)
    with Exporter("range-unet", CONTRACT, set(), "fp16") as exporter:
        for _, path in exporter.exported([architecture]):
            graph = onnx.load(path).graph
            assert model_and_io(path)[1] == io_spec_of(architecture)
    assert not path.exists()
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT16}


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="'fp32' or 'fp16'"):
        Exporter("range-unet", CONTRACT, set(), "int8")


@pytest.mark.long
def test_a_table_says_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    raw = tmp_path / "raw"
    table = make_table(TARGET, small_space(), CONTRACT, raw, SETTINGS)
    table.save(tmp_path / "table.json")
    assert load_table(tmp_path / "table.json").precision == "fp16"
    assert len(table.networks) == MIN_NETWORKS
    with pytest.raises(MeasurementError, match=r"'precision': \('fp16', 'fp32'\)"):
        make_table(TARGET, small_space(), CONTRACT, raw, replace(SETTINGS, precision="fp32"))
    # Profiles from before precisions were told apart are of singles.
    header = read_checked_json(raw / "profile.json")
    del header["precision"]
    write_checked_json(raw / "profile.json", header)
    again = make_table(TARGET, small_space(), CONTRACT, raw, replace(SETTINGS, precision="fp32"))
    assert again.precision == "fp32"
