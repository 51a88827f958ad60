"""Damaged and hostile YAML files, made of valid ones: run files, descriptions of data sets, label maps, sensors.

Half of the cases change the values and write them anew (wrong types, absurd numbers, unknown and repeated keys,
secrets in odd places); the others change the text byte by byte or by the syntax of YAML (anchors, tags, depth).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hwnas.config.template import TEMPLATE

SECRET = "FUZZSECRET"
URLS = (
    f"postgresql+psycopg://u:{SECRET}@h/x",
    f"postgresql://u:{SECRET}@[::1/x",
    f"postgresql:/u:{SECRET}@h",
    f"host=h password={SECRET}",
    f"u:{SECRET}@h",
)
_PACKAGE = Path(__file__).parents[2] / "hwnas" / "data"

RUN = yaml.safe_load(TEMPLATE) | {
    "storage": "journal",
    "study": "mine",
    "measuring": {
        "search": {"max_s": 10},
        "final": {"options": {"optimization_level": 5}, "builds": 2},
        "table": "auto",
    },
}
RUN["task"] |= {
    "label_map": "merged-8",
    "widths": [256, 512],
    "projection": {"method": "ring", "fov_up_deg": 3.0, "fov_down_deg": -25.0},
    "knn": {"k": 5, "sigma": 1.0},
    "normalisation": {"mean": [10.0, 0.0, 0.0, -1.0, 0.3], "std": [9.0, 9.0, 9.0, 1.0, 0.2]},
}
RUN["search"] |= {
    "strategy": {"name": "random"},
    "estimator": {"name": "weight-sharing", "supernet": "./net"},
    "prescreening": {"networks": 1000, "train_best": 10},
    "warm_start": ["./a"],
    "learn_from": ["./a"],
}
RUN["space"]["choices"] = {"width": [512, 1024], "stem": [16], "flag": [True]}
DATASET = {
    "sensor": "vlp-32c",
    "sensor_height_m": 1.85,
    "frame": "y-forward",
    "scans": "drives/{sequence}/lidar/{scan}.bin",
    "format": "bin",
    "format_options": {"columns": ["x", "y", "z", "intensity", {"ring": "uint16"}], "dtype": "float32"},
    "intensity_range": [0, 255],
    "labels": "drives/{sequence}/labels/{scan}.label",
    "label_dtype": "uint32",
    "label_map": "semantickitti-19",
    "splits": {"train": ["01", "02"], "val": ["03"]},
}
LISTED = {"scans": [{"points": "a.bin", "labels": "a.label", "sequence": "x"}, {"points": "b.bin"}]}
LABEL_MAP = yaml.safe_load((_PACKAGE / "label_maps" / "merged-8.yaml").read_text(encoding="utf-8"))
SENSOR = yaml.safe_load((_PACKAGE / "sensors" / "vlp-16.yaml").read_text(encoding="utf-8"))
SEEDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run", RUN), ("run", RUN), ("dataset", DATASET), ("dataset", LISTED), ("label map", LABEL_MAP), ("sensor", SENSOR),
)  # fmt: skip

_ODD_VALUES: tuple[Callable[[random.Random], Any], ...] = (
    lambda rng: rng.choice([None, True, False, 0, -1, 1.7, 1e-3, 1e300, float("nan"), float("inf"), 10**18, "", " "]),
    lambda rng: rng.choice(["x", "1", "1e-3", "yes", "1:30", "2026-11-29", "0x1F", "~", "/", ".", "..", "a" * 300, "a/" * 600]),
    lambda rng: rng.choice(["./nowhere", "~nobody/x", "~/x.yaml", "\ud8ff", "\udcff", "\x1b[31m", "ä\u2028b", "{scan}", "{sequence}"]),
    lambda rng: rng.choice([[], {}, [[]], [{}], {"a": {}}, [None], ["x"] * 50, {"name": []}, {"name": "lidar-segmentation"}]),
    lambda rng: rng.choice(URLS),
    lambda rng: rng.choice([[url] for url in URLS] + [{"a": url} for url in URLS] + [{url: 1} for url in URLS]),
    lambda rng: [rng.randint(-5, 300) for _ in range(rng.randint(0, 70))],
)  # fmt: skip
_ODD_WORDS = (
    "yes", "NO", "1:30", "1:30.5", "0x_", "0b1", "017", "00", "1_000", "2026-13-45", "2026-01-01 10:00:00", "<<", "=",
    "9" * 5000, "1" * 19, "1e999", "!!int abc", "!!float abc", "!!timestamp abc", "!!binary x", "!x y", "!!set {}",
    "!!python/object/apply:os.system [id]", "&a [*a]", "&a {x: *a}", "*b", "&a", "[", "{", "'", '"', "|", ">-", "? x",
    "[" * 4000, "{a: " * 4000, "- " * 400, "\t", "#", "%TAG ! x", "--- 1", "... 1", "@", "`", '"\\ud800"', '"\\0"', '"\\x1b"',
)  # fmt: skip


@dataclass(frozen=True)
class YamlCase:
    """One file.

    Attributes:
        number: of the case.
        reader: what reads it: run, dataset, label map, sensor.
        change: what was done to a valid file.
        content: of the file.
    """

    number: int
    reader: str
    change: str
    content: bytes


def yaml_case(seed: int, number: int) -> YamlCase:
    """Return one case, the same for the same arguments."""
    rng = random.Random(f"{seed}/{number}")
    reader, valid = rng.choice(SEEDS)
    change = rng.choice(sorted(_CHANGES))
    return YamlCase(number, reader, change, _CHANGES[change](rng, copy.deepcopy(valid)))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value below."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        found += [(value, key), *_places(item)]
    return found


def _dumped(value: Any) -> bytes:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    return text.encode("utf-8", "surrogatepass")


def _values(rng: random.Random, value: Any) -> bytes:
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        container, key = rng.choice(_places(value))
        container[key] = rng.choice(_ODD_VALUES)(rng)
        if not _places(value):
            break
    return _dumped(value)


def _keys(rng: random.Random, value: Any) -> bytes:
    mappings = [value, *(c[k] for c, k in _places(value) if isinstance(c[k], dict) and c[k])]
    chosen = rng.choice(mappings)
    key = rng.choice(list(chosen))
    kind = rng.randrange(3)
    if kind == 0:
        del chosen[key]
    elif kind == 1:
        chosen[rng.choice([key + "x", key[:-1], URLS[0], "a" * 5000, 5, None, True, ""])] = chosen.pop(key)
    else:
        other, where = rng.choice(_places(value))
        chosen[key] = copy.deepcopy(other[where])
    return _dumped(value)


def _whole(rng: random.Random, value: Any) -> bytes:
    return _dumped(rng.choice(_ODD_VALUES)(rng))


def _repeat(rng: random.Random, value: Any) -> bytes:
    lines = _dumped(value).splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines.insert(rng.choice([at, rng.randrange(len(lines))]), lines[at])
    return b"".join(lines)


def _words(rng: random.Random, value: Any) -> bytes:
    container, key = rng.choice(_places(value))
    container[key] = "PLACE"
    return _dumped(value).replace(b"PLACE", rng.choice(_ODD_WORDS).encode())


def _anchors(rng: random.Random, value: Any) -> bytes:
    container, key = rng.choice(_places(value))
    depth, width = rng.choice([(2, 2), (9, 9), (40, 1), (30, 2)])
    levels = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    container[key] = "PLACE"
    text = _dumped(value).replace(b"PLACE", f"*a{depth - 1}".encode())
    return "\n".join(levels).encode() + b"\n" + text


def _bytes(rng: random.Random, value: Any) -> bytes:
    content = bytearray(_dumped(value))
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(content):
            content[at] = rng.randrange(256)
        elif kind == 1:
            content[at:at] = rng.choice(
                [
                    b":",
                    b"- ",
                    b"{",
                    b"]",
                    b"'",
                    b'"',
                    b"\n",
                    b" ",
                    b"\t",
                    b"#",
                    b"\x00",
                    b"\xff",
                    b"&a ",
                    b"*a ",
                ]
            )
        elif kind == 2:
            del content[at : at + rng.randrange(1, 20)]
        else:
            start = rng.randrange(len(content) + 1)
            content[at:at] = content[start : start + rng.randrange(1, 60)]
    return bytes(content)


def _cut(rng: random.Random, value: Any) -> bytes:
    content = _dumped(value)
    return content[: rng.randrange(len(content))]


def _random(rng: random.Random, value: Any) -> bytes:
    return rng.randbytes(rng.choice([0, 1, 10, 1000])) if rng.random() < 0.5 else (
        "".join(rng.choice("{}[]:,-#&*!|>'\"%@`?~ \n\tab01._<=x") for _ in range(rng.randrange(200))).encode()
    )  # fmt: skip


def _encoding(rng: random.Random, value: Any) -> bytes:
    text = _dumped(value).decode()
    return rng.choice([text.encode("utf-16"), b"\xef\xbb\xbf" + text.encode(), text.replace("\n", "\r\n").encode(),
                       text.replace("\n", "\r").encode(), text.encode("utf-32"), (text + "\xe4").encode("latin-1")])  # fmt: skip


def _large(rng: random.Random, value: Any) -> bytes:
    content = _dumped(value)
    filling = rng.choice([b"# x\n", b"\n", b"- 1\n", b"k: 1\n", b"[", b" ", b"a", b"'a' "])
    return content + filling * (rng.choice([1 << 16, 1 << 19]) // len(filling))


_CHANGES: dict[str, Callable[[random.Random, Any], bytes]] = {
    "values": _values,
    "keys": _keys,
    "whole file": _whole,
    "line twice": _repeat,
    "words": _words,
    "anchors": _anchors,
    "bytes": _bytes,
    "cut off": _cut,
    "random": _random,
    "encoding": _encoding,
    "large": _large,
}
CHANGES = tuple(sorted(_CHANGES))
