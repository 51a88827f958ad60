"""Kernels of cells are those that ONNX Runtime runs, and cells are profiled and predicted by them."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.architecture import Architecture
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.kernel_graph.kernels import HEIGHT, KINDS, OUT, WIDTH, row_of_kernel, signature
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.backends.onnxruntime import OnnxRuntime
from hwnas.latency.measure.survey import SurveyedNetwork
from hwnas.latency.predict import fitting
from hwnas.latency.predict.decomposition import BLOCKS, kernels_of_space
from hwnas.latency.predict.exporting import io_spec_of
from hwnas.latency.predict.fitting import errors_of, fit_table
from hwnas.latency.predict.kernel_features import operations
from hwnas.latency.predict.profiling import ProfiledNetwork
from hwnas.latency.predict.table import load_table
from hwnas.models.cost import count_macs
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.search_spaces.cells import Cell
from hwnas.search_spaces.nas_cell_kernels import kernels_of_nas_cell

CONTRACT = NetworkContract(5, 16, (64,), dense_logits(6), cyclic_width=True)
CHOICES = {"stem_width": [8, 16, 24], "decoder_width": [16, 24], "cells": [1, 2, 3]}

TELLING = {
    "all operations": "|nor_conv_1x1~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_1x1~2|",
    "one reader": "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|",
    "equal sums": "|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|",
    "shared pools": "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|nor_conv_3x3~0|avg_pool_3x3~1|skip_connect~2|",
    "rectified twice": "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|",
    "rectified once": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|",
    "no cells": "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
}
"""Cells in which operators are merged, fused or left out."""


def space() -> SearchSpace:
    return make_search_space("nas-cell", CONTRACT, CHOICES)


def some(count: int, seed: int = 0) -> list[Architecture]:
    own, rng = space(), np.random.default_rng(seed)
    return [own.decode(sample_choices(own, rng)) for _ in range(count)]


def with_cell(name: str, **genes: Any) -> Architecture:
    own = space()
    first = {gene: values[0] for gene, values in own.choices.items()}
    return own.decode({**first, "stem_width": 16, **Cell.parse(TELLING[name]).choices(), **genes})


def decomposed(architecture: Architecture, block: int) -> Counter[str]:
    rows, _ = kernels_of_nas_cell([architecture], block)
    return Counter(signature(row) for row in rows.tolist())


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="other processors lay images out otherwise"
)
@pytest.mark.parametrize(
    "architecture",
    [
        *(with_cell(name, cells=2, cyclic_padding=True) for name in TELLING),
        with_cell("one reader", cells=1, stem_width=24),
        *some(3, seed=5),
    ],
    ids=lambda architecture: architecture.id,
)
def test_kernels_are_those_of_the_optimised_graph(architecture: Architecture, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model, io_spec = tmp_path / "model.onnx", io_spec_of(architecture)
    export_onnx(space().build(architecture), io_spec, model, metadata={})
    backend = OnnxRuntime(1)
    kernels = backend.kernels(str(model), lambda: bind_random_inputs(backend, io_spec.to_json(), 0), 2)
    ran = Counter(signature(row_of_kernel(kernel)) for kernel in kernels)
    ran = Counter({name: count for name, count in ran.items() if not name.startswith("other")})
    assert ran in [decomposed(architecture, block) for block in BLOCKS]


def test_many_networks_have_the_kernels_of_each_alone() -> None:
    architectures = [*some(60), *(with_cell(name) for name in TELLING)]
    rows, owners = kernels_of_nas_cell(architectures, 16)
    for index, architecture in enumerate(architectures):
        together = Counter(signature(row) for row in rows[owners == index].tolist())
        assert together == decomposed(architecture, 16), architecture.id


def test_plain_images_need_no_reordering() -> None:
    kinds = {KINDS[row[0]] for row in kernels_of_nas_cell(some(20), 1)[0]}
    assert {"convolution", "pool"} <= kinds
    assert not kinds & {"reorder-input", "reorder-output"}


def test_operations_are_those_of_the_modules() -> None:
    # Plain images have no padding; the module knows nothing of kernels.
    for architecture in some(8, seed=2):
        rows, _ = kernels_of_nas_cell([architecture], 1)
        counted = count_macs(space().build(architecture), architecture.input_shape)
        assert operations(rows).sum() == pytest.approx(counted, rel=1e-9)


def test_no_network_has_no_kernels() -> None:
    rows, owners = kernels_of_nas_cell([], 16)
    assert len(rows) == len(owners) == 0


def test_the_space_is_known_to_tables() -> None:
    decompose = kernels_of_space(space(), 16)
    assert decompose is not None
    assert len(decompose(some(2))[0])


def test_networks_never_seen_are_predicted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fitting, "row_of_kernel", lambda kernel: kernel["row"])
    header = {"target": "local?backend=made-up", "fingerprint": {"cpu_model": "made up"}, "choices": {}}
    table = fit_table([made_up(each) for each in some(24)], header, space(), CONTRACT, {"made": "2026-01-01"})
    table.save(tmp_path / "table.json")
    others = some(60, seed=77)
    found = load_table(tmp_path / "table.json").predictor(space()).predict(others)
    truth = np.array([made_up(each).latency_ms for each in others])
    errors = errors_of(found.latency_ms, truth)
    assert errors["within_10"] > 0.9
    assert errors["spearman"] > 0.98


def made_up(architecture: Architecture) -> ProfiledNetwork:
    """A measurement whose kernels take time by a rule."""
    rows, _ = kernels_of_nas_cell([architecture], 16)
    elements = rows[:, OUT].astype(float) * rows[:, HEIGHT] * rows[:, WIDTH]
    ms = 2e-3 + 4e-8 * operations(rows) + 2e-6 * elements
    kernels = tuple({"row": row, "ms": time} for row, time in zip(rows.tolist(), ms.tolist(), strict=True))
    total = 1.08 * float(ms.sum())
    measured = SurveyedNetwork(total / 5, ((total,), (total,)), (5.0, 5.0, 5.0), kernels, 5.0, "0" * 64)
    return ProfiledNetwork(architecture, measured, 1.0)
