"""Architectures as drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.report.drawing import draw_architecture, parts_of
from hwnas.report.words import count, duration, gene_lines, interval, milliseconds, percent
from hwnas.search_spaces.base import BlockSignature, make_search_space, sample_choices

SPACE = make_search_space("range-unet", NetworkContract(5, 64, (256, 512, 1024), dense_logits(8)))


def kinds_of(blocks: list[BlockSignature]) -> list[str]:
    return list(dict.fromkeys(block.kind for block in blocks))


@given(st.integers(0, 2**32 - 1))
@example(1598255)  # two stages in a row do the same
def test_any_architecture_is_drawn_inside_its_frame(seed: int) -> None:
    architecture = SPACE.decode(sample_choices(SPACE, np.random.default_rng(seed)))
    blocks = SPACE.blocks(architecture)
    parts = parts_of(blocks)
    assert sum(part.repeats for part in parts) == len(blocks)
    svg = ET.fromstring(draw_architecture(blocks, title=architecture.id, kinds=kinds_of(blocks)))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    boxes = svg.findall("rect")
    assert len(boxes) == len(parts) + 1
    for box in boxes:
        left, top = float(box.attrib["x"]), float(box.attrib["y"])
        assert 0 <= left < left + float(box.attrib["width"]) <= width
        assert 0 <= top < top + float(box.attrib["height"]) <= height
    edges = svg.findall("path")
    assert len(edges) == sum(len(part.sources) for part in parts)


def test_skips_go_to_the_blocks_that_made_the_inputs() -> None:
    fine, coarse = (8, 16, 64), (16, 8, 32)
    blocks = [
        BlockSignature("stem", ((5, 16, 64),), fine),
        BlockSignature("down", (fine,), coarse, (("kernel", 3), ("stride", "2x2"))),
        BlockSignature("down", (coarse,), coarse, (("kernel", 3), ("stride", "1x1"))),
        BlockSignature("up", (fine, coarse), fine),
        BlockSignature("head", (fine,), (3, 16, 64)),
    ]
    parts = parts_of(blocks)
    assert [(part.block.kind, part.repeats) for part in parts] == [
        ("stem", 1),
        ("down", 2),
        ("up", 1),
        ("head", 1),
    ]
    assert [part.sources for part in parts] == [(-1,), (0,), (0, 1), (2,)]


def test_names_are_escaped() -> None:
    blocks = [BlockSignature('<b>"&', ((1, 2, 2),), (1, 2, 2))]
    svg = ET.fromstring(draw_architecture(blocks, title="<title>", kinds=kinds_of(blocks)))
    assert '<b>"&' in [text.text for text in svg.findall("text")]


def test_genes_that_share_a_word_share_a_line() -> None:
    genes = {
        "stage1_block": "a",
        "stage1_depth": 2,
        "stage1_stride": "1x2",
        "cyclic_padding": True,
        "decoder": "b",
    }
    assert gene_lines(Architecture("s", genes, (5, 4, 4), dense_logits(3))) == [
        "cyclic padding yes · decoder b",
        "stage1: block a · depth 2 · stride 1x2",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5178, "0.518 ms"),
        (1.354, "1.35 ms"),
        (23.456, "23.5 ms"),
        (456.7, "457 ms"),
        (0.004837, "0.00484 ms"),
        (None, "–"),
    ],
)
def test_milliseconds(value: float | None, words: str) -> None:
    assert milliseconds(value) == words


def test_other_words() -> None:
    assert percent(0.1234) == "12.3 %"
    assert [duration(seconds) for seconds in (5, 75, 3700)] == ["5 s", "1 min 15 s", "1 h 1 min"]
    assert count(1234567) == "1\u202f234\u202f567"
    assert interval({"latency_ms": 1.3, "interval_ms": [1.2341, 1.3452]}) == "1.23 … 1.35"
    assert interval({"latency_ms": 0.004837, "interval_ms": [0.0031, 0.0052]}) == "0.00310 … 0.00520"
