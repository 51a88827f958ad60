from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.heads import head_parameters
from tests.tasks.lidar_data import write_scans

SPACES = ("range-unet", "nas-cell", "hand-crafted")


@pytest.mark.parametrize("space_name", SPACES)
def test_the_head_of_any_space_is_found(space_name: str, tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data", scans=1)
    task = make_task("lidar-segmentation", {"data": str(data), "label_map": "merged-8", "widths": [256]})
    space = make_search_space(space_name, task.contract)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    head = head_parameters(space, task, architecture)
    shapes = {name: tensor.shape for name, tensor in space.build(architecture).named_parameters()}
    assert head
    assert {shapes[name][0] for name in head} == {8}
