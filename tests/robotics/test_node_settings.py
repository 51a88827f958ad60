"""Parameters of the node: described, checked, refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas.bundle.signature import Trust
from hwnas.errors import ConfigError
from hwnas.robotics.cloud_scans import CLOUD_OPTIONS, cloud_fields_of
from hwnas.robotics.node_settings import NODE_PARAMETERS, NodeSettings


def test_every_parameter_is_described_and_its_default_is_allowed() -> None:
    assert len({one.name for one in NODE_PARAMETERS}) == len(NODE_PARAMETERS)
    for one in NODE_PARAMETERS:
        assert one.description.endswith("."), one.name
        assert one.checked(one.default) == one.default


def test_what_is_given_counts() -> None:
    found = NodeSettings.of(
        {
            "bundle": "~/b",
            "threads": 0,
            "intensity": "reflectivity",
            "intensity_scale": 2,
            "time_unit": "us",
            "remove_classes": ["", "car"],
            "allowed_signers": "/etc/signers",
            "identity": "fleet@example.com",
        }
    )
    assert found.bundle == Path("~/b").expanduser()
    assert found.remove_classes == ("car",)
    assert found.trust == Trust(Path("/etc/signers"), "fleet@example.com")
    assert found.format_options == {"intensity": "reflectivity", "intensity_scale": 2.0, "time_unit": "us"}
    assert set(found.format_options) <= set(CLOUD_OPTIONS)
    assert cloud_fields_of(found.format_options).intensity == "reflectivity"
    assert (found.threads, found.precision, found.backend) == (0, "fp32", "onnxruntime")
    assert found.visualization
    assert found.autostart


def test_what_the_bundle_states_of_fields_counts_by_default() -> None:
    assert NodeSettings.of({}).format_options == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"threads": -1}, "`threads` is -1; expected a number from 0 to 1024"),
        ({"threads": 1.0}, "`threads` is 1.0; expected a whole number"),
        ({"threads": True}, "expected a whole number"),
        ({"bundle": 3}, "`bundle` is 3; expected a text"),
        ({"intensity_scale": 0.0}, "expected a number from 1e-09"),
        ({"intensity_scale": float("nan")}, "expected a number from"),
        ({"intensity_scale": True}, "expected a number"),
        (
            {"backend": "onnxruntim"},
            r"one of onnxruntime, tensorrt, tensorrt-rtx\. Did you mean 'onnxruntime'",
        ),
        ({"time_unit": "h"}, "one of an empty text, s, ms, us, ns"),
        ({"visualization": "yes"}, "expected true or false"),
        ({"remove_classes": "car"}, "expected a list of texts"),
        ({"remove_classes": [1]}, "expected a list of texts"),
        ({"remove_classes": None}, "expected a list of texts"),
        ({"bundel": "b"}, "no parameter 'bundel'.*Did you mean 'bundle'"),
        ({"identity": "a@b"}, "go together"),
        ({"allowed_signers": "f"}, "go together"),
    ],
)
def test_what_is_wrong_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NodeSettings.of(given)
