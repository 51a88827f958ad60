"""A searched cell as a module: operations on the edges of a small directed graph.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR
2020, section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hwnas.models.layers import CyclicPad, convolution

Edge = tuple[int, int, str]
"""From node, to node, operation; nodes are numbered so that edges lead upward."""


class CellLayers(nn.Module):
    """Node 0 is the input, the highest node the output; each is the sum of what its edges make."""

    def __init__(self, edges: Sequence[Edge], channels: int, *, is_cyclic: bool = False) -> None:
        """Build the operations.

        Args:
            edges: all on a way from the first node to the last; at least one.
            channels: of input, nodes and output.
            is_cyclic: whether left and right edges of the image are neighbours.

        Raises:
            ValueError: if an edge does not lead upward, or an operation is unknown.
        """
        super().__init__()
        self.edges = tuple((source, target) for source, target, _ in edges)
        if not edges or any(source >= target for source, target in self.edges):
            raise ValueError(f"Expected edges from lower to higher nodes, but got {list(edges)}.")
        # Named by edge and operation, so that cells can share weights where they are alike.
        self.operations = nn.ModuleDict(
            {
                f"edge{source}{target}_{name}": _operation(name, channels, is_cyclic=is_cyclic)
                for source, target, name in edges
            }
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return an image [N, C, H, W] of the same shape."""
        nodes = {0: image}
        layers = zip(self.edges, self.operations.values(), strict=True)
        for (source, target), operation in sorted(layers, key=lambda layer: layer[0]):
            made: Tensor = operation(nodes[source])
            nodes[target] = nodes[target] + made if target in nodes else made
        return nodes[max(nodes)]


def _operation(name: str, channels: int, *, is_cyclic: bool) -> nn.Module:
    """Return an operation by NAS-Bench-201's name for it; convolutions follow their activation."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        # Padding is left out of the mean, as in the source; the other side of a cyclic image is no padding.
        margin = (1, 0) if is_cyclic else (1, 1)
        pool = nn.AvgPool2d(3, stride=1, padding=margin, count_include_pad=False)
        return nn.Sequential(CyclicPad(1), pool) if is_cyclic else pool
    kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
    if name not in kernels:
        raise ValueError(f"Expected one of {['skip_connect', 'avg_pool_3x3', *kernels]}, but got {name!r}.")
    body = convolution(channels, channels, kernels[name], is_cyclic=is_cyclic, act=None)
    return nn.Sequential(nn.ReLU(), *body)
