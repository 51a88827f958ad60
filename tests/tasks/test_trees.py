import pytest
import torch
from torch import nn

from hwnas.tasks.trees import arguments, leaves, mapped, named, run

ONE, TWO = torch.ones(2), torch.full((3,), 2.0)


def test_leaves_come_in_the_order_of_the_tree() -> None:
    tree = {"b": ONE, "a": [TWO, (ONE,)]}
    assert [leaf.shape for leaf in leaves(tree)] == [(2,), (3,), (2,)]
    doubled = mapped(tree, lambda tensor: 2 * tensor)
    assert list(doubled) == ["b", "a"]
    assert doubled["a"][0].tolist() == [4.0, 4.0, 4.0]
    for wrong in ({"a": 3}, [None], "text"):
        with pytest.raises(TypeError, match="tensors, tuples, lists and mappings"):
            leaves(wrong)
        with pytest.raises(TypeError, match="tensors, tuples, lists and mappings"):
            mapped(wrong, lambda tensor: tensor)


def test_outputs_get_their_names_or_are_refused() -> None:
    assert named(ONE, ["y"])["y"] is ONE
    assert list(named((ONE, TWO), ["y", "z"])) == ["y", "z"]
    assert named({"y": ONE, "z": TWO}, ["y", "z"])["z"] is TWO
    with pytest.raises(ValueError, match="returns 2 outputs"):
        named((ONE, TWO), ["y"])
    # Exported files name outputs by their order: a mapping in another one would swap them.
    with pytest.raises(ValueError, match="returns"):
        named({"z": TWO, "y": ONE}, ["y", "z"])


def test_networks_take_one_input_or_several() -> None:
    class Sum(nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return first + 2 * second

    one, two = torch.tensor(1.0), torch.tensor(2.0)
    assert float(run(Sum(), {"a": one, "b": two})) == 5.0
    assert float(run(Sum(), (two, one))) == 4.0
    assert arguments(one) == (one,)
