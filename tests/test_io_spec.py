import json

import pytest

from hwnas.io_spec import IoSpec, TensorSpec


def test_json_round_trip() -> None:
    spec = IoSpec(
        (TensorSpec("range_image", (1, 5, 64, 512)),), (TensorSpec("logits", (1, 8, 64, 512), "float16"),)
    )
    assert IoSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(KeyError):
        IoSpec.from_json({"inputs": [{"name": "x", "shape": [1]}], "outputs": []})
