"""`hwnas infer` reads scans as options or a `dataset.yaml` say."""

from pathlib import Path

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import ConfigError, DataError
from tests.cli.bundles.commands import call, first_bundle, invoke


def test_infer_takes_columns_and_options_of_the_format(run: Path, scan: Path, tmp_path: Path) -> None:
    values = np.fromfile(scan, "<f4").reshape(-1, 4)
    more = np.column_stack([values, np.linspace(0, 0.1, len(values))]).astype("<f4")
    (tmp_path / "five.bin").write_bytes(more.tobytes())
    bundle = first_bundle(run)
    with pytest.raises(DataError, match=r"five.bin.*are there 5\?"):
        call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out")
    call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out", "--columns", "x,y,z,intensity,_")
    options = ("--format-options", "{columns: [x, y, z, intensity, _], dtype: float32}")
    call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out2", *options)
    call("infer", bundle, scan, "-o", tmp_path / "out3")
    expected = (tmp_path / "out3" / "scan.label").read_bytes()
    for out in ("out", "out2"):
        assert (tmp_path / out / "five.label").read_bytes() == expected
    for wrong, match in (
        (("--columns", "x,y"), "no field for"),
        (("--columns", "x,y,z,strength"), "holds 'strength'"),
        (("--format-options", "[1"), "--format-options:2: not valid YAML"),
        (("--format-options", "hello"), "takes a mapping"),
        ((*options, "--columns", "x"), "both name columns"),
    ):
        result = invoke(bundle, scan, "-o", tmp_path / "out4", *wrong)
        assert isinstance(result.exception, ConfigError | DataError)
        assert match in str(result.exception)


def test_infer_reads_a_directory_as_its_dataset_yaml_says(run: Path, scan: Path, tmp_path: Path) -> None:
    """Five columns, millimetres, y forward, another origin and intensities from 0 to 510 give the same labels."""
    values = np.fromfile(scan, "<f4").reshape(-1, 4)
    bundle = first_bundle(run)
    low, high = Runner(bundle).intensity_range
    files = np.empty((len(values), 5), "<f4")
    files[:, :3] = np.column_stack([-values[:, 1], values[:, 0], values[:, 2]]) * 1000 + [1000, 0, 500]
    files[:, 3] = (values[:, 3] - low) / (high - low) * 510
    files[:, 4] = 7
    drive = tmp_path / "in" / "drive" / "lidar"
    drive.mkdir(parents=True)
    (drive / "five.dat").write_bytes(b"no scan, since its name says nothing")
    (drive / "five.bin").write_bytes(files.tobytes())
    np.save(drive.parent / "other.npy", values)  # none of the data set's scans
    config = drive.parent / "dataset.yaml"
    config.write_text(
        "{scans: 'lidar/{scan}.bin', frame: y-forward, unit_m: 0.001, origin_m: [1.0, 0.0, 0.5], "
        "intensity_range: [0, 510], format_options: {columns: [x, y, z, intensity, _]}}"
    )
    call("infer", bundle, scan, "-o", tmp_path / "plain")
    expected = np.fromfile(tmp_path / "plain" / "scan.label", "<u4")
    for given, place in ((drive.parent, "lidar"), (tmp_path / "in", "drive/lidar")):
        out = tmp_path / f"out of {given.name}"
        call("infer", bundle, given, "-o", out)
        found = np.fromfile(out / place / "five.label", "<u4")
        assert np.mean(found == expected) > 0.999, "coordinates are rounded differently"
        assert not (out / place).parent.joinpath("other.label").exists(), "`scans` does not name it"
    with pytest.raises(DataError, match=r"five\.bin.*hwnas infer --columns x,y,z,intensity,ring`"):
        call("infer", bundle, drive / "five.bin", "-o", tmp_path / "as the bundle says")
    config.write_text(config.read_text().replace("intensity, _]", "intensity]"))
    with pytest.raises(DataError, match=r"It was read as .*drive.dataset\.yaml says"):
        call("infer", bundle, tmp_path / "in", "-o", tmp_path / "wrong columns")
    (drive.parent / "other.npy").unlink()
    call("infer", bundle, tmp_path / "in", "-o", tmp_path / "over it", "--columns", "x,y,z,intensity,_")
    config.write_text("frames: x-forward")
    with pytest.raises(DataError, match=r"(?s)unknown key 'frames'.*give the scans as files"):
        call("infer", bundle, tmp_path / "in", "-o", tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
