"""Points out of messages: the C++ core reads the same numbers as Python, and refuses in the same words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.scan_files.formats import RawScan
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.robotics import CloudFields, PointCloud2
from hwnas.robotics.cloud_scans import scan_of_cloud
from hwnas.robotics.node_settings import NODE_PARAMETERS, NodeSettings
from hwnas.robotics.point_fields import MOST_FIELDS
from hwnas.text import shortened, shown, visible
from tests.robotics.cpp_node.clouds import wild_message
from tests.robotics.cpp_node.probe import CppRefusalError, NotCarriedError, Probe
from tests.robotics.messages import XYZIR, message, xyzir
from tests.robotics.test_malformed_clouds import CASES, FAULTS

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"intensity_scale": 0.25},
    {"intensity": "pad", "time_unit": "us"},
    {"x": "y", "y": "x"},
    {"x": "y"},
    {"ring": "label"},
    {"time": "t", "time_unit": "s"},
    {"intensity": "intensty"},
)
NEVER_CARRIED = "no number|no text|none$|negative|gaps|other numbers|missing$"
"""Faults that the types of ROS rule out, at least for some seeds."""


def python_reads(made: SimpleNamespace, options: dict[str, Any]) -> RawScan | str:
    """Return the scan, or why it is refused."""
    try:
        return scan_of_cloud(PointCloud2.from_message(made), CloudFields(**options))
    except DataError as error:
        return str(error)


def compare(probe: Probe, made: SimpleNamespace, options: dict[str, Any]) -> bool:
    """Ask both of one message; return whether it is read."""
    with np.errstate(over="ignore", invalid="ignore"):
        expected = python_reads(made, options)
    if isinstance(expected, str):
        with pytest.raises(CppRefusalError) as refused:
            probe.points(made, options)
        assert str(refused.value) == expected
        assert refused.value.code == DataError.exit_code
        return False
    found = probe.points(made, options)
    assert found.points.dtype == expected.points.dtype
    for one, other in (
        (found.points, expected.points),
        (found.intensity, expected.intensity),
        (found.ring, expected.ring),
        (found.time_s, expected.time),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)
    return True


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_messages_of_any_layout_are_read_or_refused_as_in_python(probe: Probe, first: int) -> None:
    read = [
        compare(probe, wild_message(seed), OPTIONS[seed % len(OPTIONS)]) for seed in range(first, first + 100)
    ]
    assert 10 < sum(read) < 90


@pytest.mark.parametrize("name", FAULTS)
def test_malformed_messages_are_refused_in_the_words_of_python(probe: Probe, name: str) -> None:
    """The messages are those of the tests of Python."""
    fault, words = FAULTS[name]
    carried = 0
    seeds = [seed for one, seed in CASES if one == name]
    for seed in seeds:
        made = xyzir(seed=seed)
        fault(made, random.Random(f"{name} {seed}"))
        expected = python_reads(made, {})
        assert isinstance(expected, str)
        assert re.search(words, expected)
        try:
            with pytest.raises(CppRefusalError) as refused:
                probe.points(made)
        except (NotCarriedError, AttributeError):
            continue
        assert str(refused.value) == expected
        carried += 1
    assert carried == len(seeds) or re.search(NEVER_CARRIED + "|stamp|datatype unknown", name)


def test_more_fields_than_a_message_may_have(probe: Probe) -> None:
    made = xyzir()
    made.fields += [SimpleNamespace(name=f"f{i}", offset=0, datatype=2, count=1) for i in range(MOST_FIELDS)]
    assert not compare(probe, made, {})


@pytest.mark.parametrize("name", ["", "a\x00b", "x\x1b[2J", "password=1", "q" * 300, "Intensity", "zz"])
def test_names_from_outside_are_shown_as_in_python(probe: Probe, name: str) -> None:
    made = xyzir()
    made.fields[0].name = name
    assert not compare(probe, made, {})
    made = xyzir()
    made.fields[3].name = name
    compare(probe, made, {})


@pytest.mark.parametrize("label", [-1, 0, 5])
@pytest.mark.parametrize("kind", [1, 3, 5, 7])
def test_labels_that_mean_nothing_refuse_a_cloud(probe: Probe, kind: int, label: int) -> None:
    fields = (*XYZIR[:4], ("label", 17, kind, 1))
    for big in (False, True):
        row = [{"x": 1.0, "y": 2.0, "z": 3.0, "intensity": 4.0, "label": label}] * 3
        assert compare(probe, message([row], fields, 30, big=big), {}) == (label >= 0 or kind == 7)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=150), st.lists(st.text(max_size=12), max_size=6))
def test_words_are_those_of_python(probe: Probe, text: str, known: list[str]) -> None:
    text = text.replace("\x00", "")
    known = [one.replace("\x00", "").lower() for one in known]
    if any(not character.isprintable() and ord(character) > 0x2FF for character in text):
        return  # characters that Unicode has not assigned count as printable in C++
    assert probe.words("visible", text) == visible(text)
    assert probe.words("shortened", text) == shortened(text, 40)
    assert probe.words("shown", text) == shown(text)
    name = text.lower()[:12]
    if name.isascii() and all(one.isascii() for one in known):
        assert probe.words("did you mean", name, known) == did_you_mean(name, known)


@pytest.mark.parametrize(
    "text",
    ["intensty", "Ring", "chanel", "ab" * 150, "tensor", "", "zzz", "i", "refelctance", "tmie_stamp"],
)
def test_hints_are_those_of_python(probe: Probe, text: str) -> None:
    known = ["intensity", "ring", "channel", "ab" * 120, "reflectance", "time_stamp", "Tensor", "i"]
    assert probe.words("did you mean", text, known) == did_you_mean(text, known)


@pytest.mark.parametrize(
    "text",
    [
        "a://b",
        "x:y@z",
        "x@y:z",
        "passw_ord =1",
        "PWD:",
        "secret  =",
        "token",
        "tokens:",
        "password\t:x",
        "'\"é",
    ],
)
def test_what_could_be_a_password_is_not_repeated(probe: Probe, text: str) -> None:
    assert probe.words("shown", text) == shown(text)


def test_parameters_are_those_of_python(probe: Probe) -> None:
    found = probe.parameters()
    assert [row[0] for row in found] == [one.name for one in NODE_PARAMETERS]
    for (_, default, description, span, constraints, read_only, of_network), one in zip(
        found, NODE_PARAMETERS, strict=True
    ):
        value = list(one.default) if isinstance(one.default, tuple) else one.default
        assert default == (str(value).lower() if isinstance(value, bool) else repr(value))
        assert description == one.description
        assert span == ("" if one.range is None else "{:g} {:g}".format(*one.range))
        assert constraints == one.constraints
        assert (bool(read_only), bool(of_network)) == (one.is_read_only, one.is_of_network)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"threads": "two"},
        {"threads": ""},
        {"threads": -1},
        {"threads": 1025},
        {"backend": "tensort"},
        {"backend": "cuda"},
        {"visualization": "yes"},
        {"intensity_scale": 0},
        {"intensity_scale": -2.5},
        {"intensity_scale": "much"},
        {"time_unit": "minutes"},
        {"identity": "fleet@example.com"},
        {"allowed_signers": "keys", "identity": " "},
        {"thread": 2},
        {"remove_classes": ["a", "b"], "threads": 0, "intensity_scale": 2, "time_unit": "ms"},
    ],
)
def test_parameters_are_refused_in_the_words_of_python(probe: Probe, values: dict[str, Any]) -> None:
    assert refusal_of(CppRefusalError, lambda: probe.settings(values)) == refusal_of(
        ConfigError, lambda: NodeSettings.of(values)
    )


def refusal_of(kind: type[Exception], check: Callable[[], object]) -> str:
    """Return what an error says; nothing without one."""
    try:
        check()
    except kind as error:
        return str(error)
    return ""
