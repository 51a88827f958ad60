"""What every search space must do; a test class inherits and names one.

```python
class TestMine(SearchSpaceSuite):
    name = "mine"
```

One that is not registered is made by a method:

```python
class TestMine(SearchSpaceSuite):
    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_mine(SMALL_CONTRACT, restrictions)
```
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError, ConfigError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnxruntime_loading import load_onnxruntime
from hwnas.search_spaces.base import BlockSignature, SearchSpace, make_search_space, sample_choices

Restrictions = Mapping[str, Sequence[Choice]]

SMALL_CONTRACT = NetworkContract(5, 16, (64,), dense_logits(6), cyclic_width=True)


def io_spec_of(architecture: Architecture) -> IoSpec:
    _, height, width = architecture.input_shape
    image = TensorSpec("image", (1, *architecture.input_shape))
    return IoSpec((image,), (TensorSpec("logits", (1, architecture.outputs[0].channels, height, width)),))


def logits_of_onnx(path: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": image})[0])


def shake_statistics(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Give batch normalisation other statistics than those of a fresh network."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.running_mean is not None:
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)


def assert_exports_exactly(space: SearchSpace, architecture: Architecture, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    module = space.build(architecture)
    shake_statistics(module, generator)
    export_onnx(module, io_spec_of(architecture), path, metadata={})
    image = torch.randn(1, *architecture.input_shape, generator=generator)
    with torch.no_grad():
        expected = module.eval()(image).numpy()
    found = logits_of_onnx(path, image.numpy())
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale + 1e-6, err_msg=str(architecture))


def assert_blocks_chain(blocks: list[BlockSignature], architecture: Architecture) -> None:
    """Every block reads the image or what an earlier block made; the last one makes the logits."""
    available = {architecture.input_shape}
    for block in blocks:
        missing = [shape for shape in block.input_shapes if shape not in available]
        assert not missing, f"{block.kind} reads {missing}, which no block before it makes"
        assert list(block.settings) == sorted(block.settings)
        available.add(block.output_shape)
    assert blocks[0].input_shapes == (architecture.input_shape,)
    assert blocks[-1].output_shape == (architecture.outputs[0].channels, *architecture.input_shape[1:])


class SearchSpaceSuite:
    """Subclasses say which space: by `name`, or by `make_space`."""

    name: ClassVar[str]
    contract: ClassVar[NetworkContract] = SMALL_CONTRACT
    num_decodes = 200
    num_builds = 12
    num_exports = 6
    cheap: ClassVar[Restrictions] = {}
    """Keeps the networks that are run and exported small; nothing else is restricted by it."""

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_search_space(self.name, self.contract, restrictions)

    @pytest.fixture(autouse=True)
    def one_thread(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)

    @pytest.fixture
    def space(self) -> SearchSpace:
        return self.make_space({})

    def sample(self, space: SearchSpace, number: int, seed: int = 0) -> list[Architecture]:
        rng = np.random.default_rng(seed)
        return [space.decode(sample_choices(space, rng)) for _ in range(number)]

    def test_is_a_search_space(self, space: SearchSpace) -> None:
        assert isinstance(space, SearchSpace)
        assert space.choices
        for gene, values in space.choices.items():
            assert len(values) >= 1, gene
            assert len({(type(value), value) for value in values}) == len(values), gene

    def test_another_instance_gives_the_same_architectures(self, space: SearchSpace) -> None:
        other = self.make_space({})
        assert list(other.choices.items()) == list(space.choices.items())
        ids = [architecture.id for architecture in self.sample(space, 20)]
        assert ids == [architecture.id for architecture in self.sample(other, 20)]

    def test_architectures_survive_json_and_processes(self, space: SearchSpace) -> None:
        for architecture in self.sample(space, self.num_decodes):
            assert architecture.space == space.name
            text = json.dumps(architecture.to_json())
            again = Architecture.from_json(json.loads(text))
            assert again == architecture
            assert json.dumps(again.to_json()) == text
            # Copied the way in which it reaches another process.
            assert copy.deepcopy(architecture) == architecture

    def test_every_value_of_every_gene_decodes(self, space: SearchSpace) -> None:
        rng = np.random.default_rng(1)
        for gene, values in space.choices.items():
            for value in values:
                architecture = space.decode({**sample_choices(space, rng), gene: value})
                assert np.isfinite(space.encode(architecture)).all()

    def test_absent_genes_have_no_influence(self, space: SearchSpace) -> None:
        """One network has one id: filled up with whatever values, the genes decode to the same again."""
        rng = np.random.default_rng(4)
        for _ in range(self.num_decodes):
            choices = sample_choices(space, rng)
            architecture = space.decode(choices)
            assert space.decode(choices) == architecture
            others = sample_choices(space, rng)
            filled = {gene: (choices if gene in architecture.genes else others)[gene] for gene in choices}
            assert space.decode(filled) == architecture
            # Where a value was made smaller, the smaller one is the canonical form of itself.
            canonical = {
                gene: architecture.genes[gene] if architecture.genes[gene] in space.choices[gene] else value
                for gene, value in filled.items()
                if gene in architecture.genes
            }
            assert space.decode({**filled, **canonical}) == architecture

    def test_encoding_tells_architectures_apart(self, space: SearchSpace) -> None:
        architectures = set(self.sample(space, self.num_decodes))
        # Neighbours in one gene are the hardest to tell apart.
        rng = np.random.default_rng(2)
        base = sample_choices(space, rng)
        for gene, values in space.choices.items():
            architectures |= {space.decode({**base, gene: value}) for value in values}
        vectors = {architecture.id: space.encode(architecture) for architecture in architectures}
        assert {(vector.dtype, vector.shape) for vector in vectors.values()} == {
            (np.dtype(np.float32), next(iter(vectors.values())).shape)
        }
        assert len({vector.tobytes() for vector in vectors.values()}) == len(vectors)

    def test_encoding_needs_only_the_architecture(self, space: SearchSpace) -> None:
        for architecture in self.sample(space, 10):
            again = Architecture.from_json(architecture.to_json())
            assert np.array_equal(self.make_space({}).encode(again), space.encode(architecture))

    def test_different_architectures_are_different_networks(self, space: SearchSpace) -> None:
        described: dict[Any, Architecture] = {}
        for architecture in self.sample(space, self.num_decodes):
            key = (architecture.input_shape, tuple(space.blocks(architecture)))
            assert described.setdefault(key, architecture) == architecture

    def test_networks_compute_and_learn(self) -> None:
        space = self.make_space(self.cheap)
        for architecture in self.sample(space, self.num_builds):
            module = space.build(architecture)
            images = torch.randn(2, *architecture.input_shape)
            logits = module(images)
            assert logits.shape == (2, architecture.outputs[0].channels, *architecture.input_shape[1:])
            assert logits.dtype == torch.float32
            logits.logsumexp(dim=1).mean().backward()
            for name, parameter in module.named_parameters():
                assert parameter.grad is not None, f"{name} of {architecture} has no part in the output"
                assert torch.isfinite(parameter.grad).all(), name
            with torch.no_grad():
                assert torch.isfinite(module.eval()(images[:1])).all()

    def test_blocks_chain(self, space: SearchSpace) -> None:
        for architecture in self.sample(space, self.num_decodes):
            blocks = space.blocks(architecture)
            assert_blocks_chain(blocks, architecture)
            assert blocks == self.make_space({}).blocks(architecture)
            assert hash(tuple(blocks)) == hash(tuple(space.blocks(architecture)))

    def test_networks_export(self, tmp_path: Path) -> None:
        space = self.make_space(self.cheap)
        for architecture in self.sample(space, self.num_exports, seed=3):
            assert_exports_exactly(space, architecture, tmp_path / f"{architecture.id}.onnx")

    def test_decode_refuses_wrong_genes(self, space: SearchSpace) -> None:
        choices = sample_choices(space, np.random.default_rng(0))
        gene = next(iter(choices))
        without = {name: value for name, value in choices.items() if name != gene}
        for wrong in ({**choices, "no such gene": 1}, without, {**choices, gene: "no such value"}, {}):
            with pytest.raises(ArchitectureError):
                space.decode(wrong)

    def test_foreign_architectures_are_refused(self, space: SearchSpace) -> None:
        architecture = self.sample(space, 1)[0]
        genes, shape = dict(architecture.genes), architecture.input_shape
        for foreign in (
            Architecture("another-space", genes, shape, architecture.outputs),
            Architecture(space.name, {**genes, "no such gene": 1}, shape, architecture.outputs),
            Architecture(space.name, genes, (shape[0] + 1, *shape[1:]), architecture.outputs),
            Architecture(space.name, genes, shape, dense_logits(architecture.outputs[0].channels + 1)),
        ):
            with pytest.raises(ArchitectureError):
                space.build(foreign)

    def test_restrictions_hold(self, space: SearchSpace) -> None:
        gene, values = max(space.choices.items(), key=lambda item: len(item[1]))
        kept = values[:: max(1, len(values) - 1)]
        restricted = self.make_space({gene: list(kept)})
        assert restricted.choices == {**space.choices, gene: kept}
        for architecture in self.sample(restricted, 20):
            assert architecture.genes.get(gene, kept[0]) in kept
            # A restriction changes what is searched, never what an architecture is.
            assert np.array_equal(restricted.encode(architecture), space.encode(architecture))
            assert restricted.blocks(architecture) == space.blocks(architecture)
        if len(values) > len(kept):
            dropped = next(value for value in values if value not in kept)
            choices = sample_choices(space, np.random.default_rng(0))
            with pytest.raises(ArchitectureError):
                restricted.decode({**choices, gene: dropped})

    @pytest.mark.parametrize("wrong", [{"no such gene": [1]}, {"first": ["no such value"]}, {"first": []}])
    def test_wrong_restrictions_are_refused(self, space: SearchSpace, wrong: Restrictions) -> None:
        first = next(iter(space.choices))
        with pytest.raises(ConfigError):
            self.make_space({first if gene == "first" else gene: values for gene, values in wrong.items()})
