"""A LiDAR task on random scans and a search space with one gene, both as plug-ins would make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.architecture import Architecture, Choice
from hwnas.data.label_maps import LabelMap
from hwnas.data.scan_files.formats import RawScan
from hwnas.errors import ConfigError
from hwnas.files import sha256_of_file, write_checked_json
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.latency.measure.comparison import LatencyComparison
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeasurement, ReferenceMeasurement
from hwnas.metrics.confusion import confusion_matrix, iou_per_class, mean_iou
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import Normalisation, network_input, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.search_spaces.base import BlockSignature, restrict_choices
from hwnas.tasks.base import Arrays, MetricWords, Picture, Predict, Quality
from tests.short_measuring import bounded

HEIGHT, WIDTH, CLASSES = 16, 256, ("ground", "low", "high")
LABELS = LabelMap(
    "heights",
    CLASSES,
    ((40,), (50, 51), (70,)),
    (0,),
    ((90, 90, 90), (200, 60, 60), (60, 160, 60)),
)
SPEC = ProjectionSpec(HEIGHT, WIDTH, "ring", 3.0, -25.0)
NORMALISATION = Normalisation((10.0, 0.0, 0.0, 0.0, 0.5), (8.0, 10.0, 10.0, 1.5, 0.3))
KNN = KnnSettings()
INTENSITY_RANGE = (0.0, 255.0)


def make_scan(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [N, 3] ring by ring, intensities [N] in 0..255 and labels [N] by height."""
    rng = np.random.default_rng(seed)
    elevation = np.radians(np.linspace(2.0, -24.0, HEIGHT))[:, None]
    azimuth = np.linspace(1e-3, 2 * np.pi - 1e-3, 180)[None, :]
    range_m = 6.0 + 10.0 * rng.random((HEIGHT, 180))
    points = np.stack(
        [
            range_m * np.cos(elevation) * np.cos(azimuth),
            range_m * np.cos(elevation) * np.sin(azimuth),
            range_m * np.sin(elevation) * np.ones_like(azimuth),
        ],
        axis=-1,
    ).reshape(-1, 3)
    labels = np.digitize(points[:, 2], (-2.5, -0.5)).astype(np.uint8)
    return points.astype(np.float32), (255 * rng.random(len(points))).astype(np.float32), labels


class SmallTask:
    """Three classes by height; `data` is the seed of the scans."""

    name = "small-lidar"
    processor = "lidar-range-view"
    words = MetricWords("mIoU", "IoU", "point", "scan", "class")
    class_names = CLASSES
    contract = NetworkContract(5, HEIGHT, (WIDTH,), dense_logits(len(CLASSES)), cyclic_width=True)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        if set(settings) - {"data"}:
            raise ConfigError(f"Unknown settings {sorted(settings)}; known is `data`.")
        self.settings = {"data": str(settings.get("data", "0"))}

    def io_spec(self, architecture: Architecture) -> IoSpec:
        shape = (1, *architecture.input_shape)
        return IoSpec(
            (TensorSpec("range_image", shape),),
            (TensorSpec("logits", (1, len(CLASSES), *architecture.input_shape[1:])),),
        )

    def _scans(self, limit: int | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        first = 100 * int(self.settings["data"])
        return (make_scan(first + index) for index in range(min(limit or 3, 3)))

    def train_dataset(self, architecture: Architecture, *, augmentation: float, seed: int) -> Any:
        raise NotImplementedError

    def loss(self, architecture: Architecture, settings: Any) -> Any:
        raise NotImplementedError

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        for points, intensity, _ in self._scans(limit):
            yield {"range_image": network_input(project(points, intensity / 255, SPEC), NORMALISATION)[None]}

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[RawScan]:
        for points, intensity, _ in self._scans(limit):
            yield RawScan(points, intensity)

    def decisions(self, outputs: Arrays) -> np.ndarray:
        return outputs["logits"][0].argmax(axis=0)

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        matrix = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
        for points, intensity, truth in self._scans(limit):
            image = project(points, intensity / 255, SPEC)
            logits = predict({"range_image": network_input(image, NORMALISATION)[None]})["logits"][0]
            pixels = logits.argmax(axis=0).astype(np.uint8)
            matrix += confusion_matrix(
                truth, labels_of_points(pixels, image, KNN, len(CLASSES)), len(CLASSES)
            )
        iou = dict(zip(CLASSES, iou_per_class(matrix), strict=True))
        items = dict(zip(CLASSES, matrix.sum(axis=1).tolist(), strict=True))
        return Quality("mIoU", float(mean_iou(matrix)), iou, 3, int(matrix.sum()), items)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        return {
            "projection": SPEC.to_json(),
            "normalisation": NORMALISATION.to_json(),
            "knn": KNN.to_json(),
            "label_map": LABELS.to_json(),
            "intensity_range": list(INTENSITY_RANGE),
            "sensor": "test-16",
        }

    def fingerprint(self) -> str:
        return "scans-" + self.settings["data"]

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        return []


class SmallNetwork(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(image))))


class SmallSpace:
    name = "small-space"

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        self.contract = contract
        self.choices = restrict_choices({"width": (4, 8, 12)}, restrictions)

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        return Architecture(self.name, dict(choices), (5, HEIGHT, WIDTH), dense_logits(len(CLASSES)))

    def encode(self, architecture: Architecture) -> Any:
        return np.array([architecture.genes["width"]], np.float32)

    def build(self, architecture: Architecture) -> nn.Module:
        return SmallNetwork(int(architecture.genes["width"]))

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        return []


class FixedMeter:
    """Says that every model takes `latency_ms`, and the reference network `reference_ms`."""

    target = "local?backend=onnxruntime-cpu&threads=1"

    def __init__(
        self,
        latency_ms: float = 5.0,
        device: str = "desk",
        disturbed: int = 0,
        reference_ms: float = 2.0,
        reference: str = "0" * 64,
    ) -> None:
        self.latency_ms, self.device, self.disturbed, self.measured = latency_ms, device, disturbed, 0
        self.reference_ms, self.reference = reference_ms, reference

    def fingerprint(self) -> Mapping[str, Any]:
        return {"device": self.device}

    def measure(
        self, model: Path, io_spec: IoSpec, *, give_up_over_ms: float | None = None
    ) -> LatencyMeasurement:
        self.measured += 1
        is_stable = self.measured > self.disturbed
        # Disturbed measurements are slower, and the more so the later they are.
        median = self.latency_ms * (1.0 if is_stable else 1.0 + self.measured)
        half = 0.01 if is_stable else 0.1 * self.measured
        return LatencyMeasurement(
            latency_ms=median,
            interval_ms=(median * (1.0 - half), median * (1.0 + half)),
            confidence=0.95,
            samples_ms=((median,) * 5,),
            percentiles_ms={"p90": None, "p95": None, "p99": None},
            is_stable=is_stable,
            remark="" if is_stable else "disturbed",
            warmup_s=(0.1,),
            model_sha256=sha256_of_file(model),
            target=self.target,
            fingerprint=self.fingerprint(),
            protocol={},
            ratio=median / self.reference_ms,
            ratio_interval=(median * 0.99 / self.reference_ms, median * 1.01 / self.reference_ms),
            reference=ReferenceMeasurement(
                self.reference, self.reference_ms, (self.reference_ms * 0.99, self.reference_ms * 1.01)
            ),
        )

    def compare(self, first: tuple[Path, IoSpec], second: tuple[Path, IoSpec]) -> LatencyComparison:
        """The second model is as many times slower as `ratios` says of its file name."""
        one, two = self.measure(*first), self.measure(*second)
        ratio = self.ratios.get(second[0].name, 1.0)
        return LatencyComparison(ratio, (ratio * 0.99, ratio * 1.01), 0.95, one, two)

    ratios: ClassVar[Mapping[str, float]] = {}

    def close(self) -> None:
        return


ENTRY_POINTS = (
    EntryPoint("small-lidar", f"{__name__}:SmallTask", "hwnas.tasks"),
    EntryPoint("small-space", f"{__name__}:SmallSpace", "hwnas.search_spaces"),
)


def write_run(directory: Path, widths: Sequence[int] = (4, 8)) -> Path:
    """Write a run directory whose networks count as trained (weights and batch statistics are random)."""
    from hwnas.training.checkpoint import save_weights
    from hwnas.training.predict import torch_predict

    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    members = []
    directory.mkdir()
    for number, width in enumerate(widths):
        torch.manual_seed(number)
        architecture = space.decode({"width": width})
        module = space.build(architecture)
        module.train()
        for image in task.inputs(architecture):
            module(torch.from_numpy(image["range_image"]))
        checkpoint = f"checkpoints/{architecture.id}/weights.safetensors"
        (directory / checkpoint).parent.mkdir(parents=True)
        save_weights(directory / checkpoint, module)
        latency = FixedMeter(1.0 + number).measure(directory / checkpoint, task.io_spec(architecture))
        members.append(
            {
                "architecture": architecture.to_json(),
                "checkpoint": checkpoint,
                "recipe": {"steps": 3},
                "seed": number,
                "task_fingerprint": task.fingerprint(),
                "quality": task.evaluate(
                    torch_predict(module, task.io_spec(architecture)), architecture
                ).to_json(),
                "latency": latency.to_json(),
                "train_s": 1.0,
                "on_front": True,
            }
        )
    write_checked_json(directory / "trained.json", {"schema_version": 2, "members": members})
    identity = {"config": {"task": {"name": task.name, "data": "0"}}, "task_fingerprint": task.fingerprint()}
    write_checked_json(directory / "identity.json", {"schema_version": 2, **identity})
    (directory / "run.yaml").write_text(
        "task: {name: small-lidar, data: '0'}\nspace: {name: small-space}\n"
        "measuring: {final: {processes: 2, warmup_s: 0.05, min_samples: 20, max_s: 1.0, relative_interval: 0.5, "
        "max_attempts: 1}}\n"
    )
    return directory


def register(patch: Any) -> None:
    """Make task and space findable by name, as if a distribution had registered them, and clock briefly."""
    from hwnas import plugins

    installed = plugins._entries

    def entries(group: str) -> list[EntryPoint]:
        return [*installed(group), *(entry for entry in ENTRY_POINTS if entry.group == group)]

    patch.setattr(plugins, "_entries", entries)
    patch.setattr(MeasuringProtocol, "__post_init__", bounded)
