from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from hwnas.errors import ConfigError
from hwnas.io_spec import NetworkContract, OutputSpec, dense_logits
from hwnas.models.heads import map_level
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.tasks.trees import named
from hwnas.testing.search_space_suite import Restrictions, SearchSpaceSuite, shake_statistics

OUTPUTS = (
    OutputSpec("heat", 2, 4),
    OutputSpec("score", 3, None),
    OutputSpec("logits", 5, 1),
    OutputSpec("coarse", 1, 32),
)
CONTRACT = NetworkContract(3, 22, (37, 48), OUTPUTS, cyclic_width=True)


class TestEncoder(SearchSpaceSuite):
    """With the one output that the suite knows; sizes that strides do not divide."""

    num_builds = 6
    num_exports = 2

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_search_space("encoder", NetworkContract(3, 22, (37, 48), dense_logits(4)), restrictions)


def test_every_output_has_its_shape_in_torch_and_onnx(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    space = make_search_space("encoder", CONTRACT)
    rng, generator = np.random.default_rng(3), torch.Generator().manual_seed(0)
    for number in range(4):
        architecture = space.decode(sample_choices(space, rng))
        module = space.build(architecture)
        shake_statistics(module, generator)
        spec = architecture.io_spec()
        path = tmp_path / f"{number}.onnx"
        export_onnx(module, spec, path, metadata={})
        image = torch.randn(spec.inputs[0].shape, generator=generator)
        with torch.no_grad():
            expected = named(module.eval()(image), [output.name for output in OUTPUTS])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = dict(zip(expected, session.run(None, {"image": image.numpy()}), strict=True))
        for tensor in spec.outputs:
            assert found[tensor.name].shape == tensor.shape == tuple(expected[tensor.name].shape)
            scale = float(expected[tensor.name].abs().max())
            np.testing.assert_allclose(
                found[tensor.name], expected[tensor.name].numpy(), atol=1e-4 * scale + 1e-6
            )
        heads = [block for block in space.blocks(architecture) if block.kind.startswith("head")]
        assert [block.output_shape[0] for block in heads] == [output.channels for output in OUTPUTS]


def test_blocks_without_a_second_convolution_have_no_kind() -> None:
    space = make_search_space("encoder", CONTRACT, {"depth": [0]})
    plain = {gene: values[0] for gene, values in space.choices.items()}
    one, other = (space.decode({**plain, "separable": value}) for value in (False, True))
    assert one == other
    assert "separable" not in one.genes


@pytest.mark.parametrize(("stride", "level"), [(1, 0), (2, 0), (4, 1), (7, 1), (8, 2), (64, 2)])
def test_maps_are_made_at_the_level_next_to_them(stride: int, level: int) -> None:
    assert map_level(stride, [2, 4, 8]) == level


@pytest.mark.parametrize("name", ["range-unet", "nas-cell"])
def test_spaces_of_one_map_refuse_other_outputs(name: str) -> None:
    with pytest.raises(ConfigError, match=r"one map as large as the input.*'heat', 4.*encoder"):
        make_search_space(name, NetworkContract(5, 16, (64,), OUTPUTS))
