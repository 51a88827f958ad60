"""Thresholds and sentences that stand in C++ and in Python are the same; nothing needs to be built."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "export" / "cpp"
COUNTERPARTS = {
    "src/scan_checks.cpp": ("bundle.runtime.scan_checks",),
    "src/intensity_checks.cpp": ("bundle.runtime.intensity_checks",),
    "src/intensity_checks.h": ("bundle.runtime.intensity_checks",),
    "src/scan_finding.h": ("bundle.runtime.scan_finding", "bundle.runtime.ground_checks"),
    "src/beam_checks.cpp": ("bundle.runtime.beam_checks",),
    "src/row_checks.cpp": ("bundle.runtime.row_checks",),
    "src/ground_checks.cpp": ("bundle.runtime.ground_checks", "data.geometry.cloud_geometry"),
    "src/geometry_checks.cpp": ("bundle.runtime.geometry_checks",),
    "src/geometry_checks.h": ("bundle.runtime.beam_checks", "bundle.runtime.ground_checks"),
    "src/confirmation.cpp": ("bundle.runtime.confirmation",),
    "src/cloud_geometry.cpp": ("data.geometry.cloud_geometry", "data.geometry.beams"),
    "src/cloud_geometry.h": ("data.geometry.cloud_geometry", "data.geometry.sampling"),
    "src/turn.cpp": ("data.geometry.cloud_geometry",),
    "src/beams.cpp": ("data.geometry.beams",),
    "src/ground.cpp": ("data.geometry.ground_plane",),
    "src/expected_ground.cpp": ("data.geometry.expected_ground",),
    "src/expectations.cpp": ("data.geometry.expected_geometry",),
    "src/expectations.h": ("data.expected_intensities",),
    "src/grids.cpp": ("range_view.grids",),
    "src/projection.cpp": ("range_view.rows", "range_view.compiled"),
    "src/columns.cpp": ("data.scan_files.columns",),
    "src/label_map.cpp": ("data.label_maps",),
    "src/manifest.cpp": ("bundle.manifest",),
    "src/signature.cpp": ("bundle.signature",),
    "beam_groups.h": ("range_view.beam_groups", "range_view.rings", "range_view.ring_order"),
    "rings.h": ("range_view.ring_order",),
    "exchanged_rings.h": ("range_view.exchanged_rings",),
    "ring_cells.h": ("range_view.ring_cells",),
    "shifted_rings.h": ("range_view.shifted_rings",),
}
"""Files of C++, and the modules of Python that decide the same."""
RENAMED = {
    "kPointsPerBeamOfSector": "_POINTS_PER_BEAM",
    "kSamplesOfGround": "_SAMPLES",
    "kMostBeams": "_MAX_BEAMS",
    "kMostClasses": "MAX_CLASSES",
    "kWindows": "_NUM_WINDOWS",
    "kColumnLags": "_COLUMN_LAGS",
    "kNamespace": "NAMESPACE",
    "kSignature": "SIGNATURE_NAME",
    "kTimeout": "_TIMEOUT_S",
    "kOnnxRuntime": "ONNXRUNTIME",
    ("src/columns.cpp", "kFewestPoints"): "_MIN_POINTS",
    ("src/ground.cpp", "kFewestPoints"): "_FEWEST_GROUND_POINTS",
    ("src/manifest.cpp", "kName"): "MANIFEST_NAME",
}
OWN = {"kRadians"}
"""What C++ needs beside, and no constant of Python holds."""
UNREADABLE = {"kUnits", "kChecks", "kRequired"}
"""Tables of more than numbers and texts; bundles and scans that both run compare what follows from them."""
CHECKS = (
    "scan_checks",
    "intensity_checks",
    "scan_finding",
    "beam_checks",
    "row_checks",
    "ground_checks",
    "geometry_checks",
    "confirmation",
)
"""Modules of `bundle.runtime` of which each number must stand in C++, too."""

_DECLARED = re.compile(r"constexpr\s+[\w:<>, ]+?[\s*]+(k[A-Z][^;]*);")
_CONSTANT = re.compile(
    r"(k[A-Z]\w*)(?:\[\])?\s*(?:=\s*|(?=\{))((?:\{[^;]*\}|\"(?:[^\"\\]|\\.)*\"|[^,;\"{}]|\{\d+\})+)"
)


def constants_of(path: Path) -> dict[str, object]:
    """Return numbers, texts and lists of numbers that a file of C++ declares, by name."""
    found: dict[str, object] = {}
    known = constants_of(SOURCES / "beam_groups.h") if path.name == "rings.h" else {}
    text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    for declaration in _DECLARED.findall(text):
        for name, value in _CONSTANT.findall(declaration):
            if name not in UNREADABLE:
                found[name] = value_of(value, {**known, **found})
    return found


def value_of(text: str, known: dict[str, object]) -> object:
    text = text.strip()
    if text.startswith('"'):
        return ast.literal_eval(f"({text})")
    if text.startswith("{"):
        parts = text.strip("{}").split(",")
        return value_of(parts[0], known) if len(parts) == 1 else [value_of(part, known) for part in parts]
    text = re.sub(r"u?int\d+_t\{(\d+)\}|size_t\{(\d+)\}", lambda match: match[1] or match[2], text)
    text = re.sub(r"(?<=\d)[fu]\b", "", text)
    try:
        return eval(text, {"__builtins__": {}}, dict(known))
    except (NameError, SyntaxError):
        return None  # no number, and equal to none


def named_in_python(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name[1:]).upper()


def in_python(name: str, file: str) -> list[object]:
    """Return what the modules that decide the same call so, private or not."""
    wanted = RENAMED.get((file, name), RENAMED.get(name, named_in_python(name))).lstrip("_")
    modules = [vars(importlib.import_module(f"hwnas.{module}")) for module in COUNTERPARTS[file]]
    return [
        module.get(wanted, module.get(f"_{wanted}"))
        for module in modules
        if {wanted, f"_{wanted}"} & set(module)
    ]


def compared(file: str) -> set[str]:
    """Compare the constants of a file with those of Python that are called alike; return which these are."""
    found = constants_of(SOURCES / file)
    alike = {name: in_python(name, file) for name in found}
    for name, known in alike.items():
        for each in known:
            assert found[name] == (list(each) if isinstance(each, tuple) else each), f"{file}: {name}"
    return {name for name, known in alike.items() if known}


def test_constants_are_those_of_python() -> None:
    assert sum(len(compared(file)) for file in COUNTERPARTS) > 100


@pytest.mark.parametrize("file", [file for file in COUNTERPARTS if "_checks." in file or "conf" in file])
def test_all_constants_of_checks_are_those_of_python(file: str) -> None:
    assert compared(file) == set(constants_of(SOURCES / file)) - OWN


@pytest.mark.parametrize("module", CHECKS)
def test_thresholds_of_checks_stand_in_cpp(module: str) -> None:
    in_cpp = {
        RENAMED.get(name, named_in_python(name)).lstrip("_"): value
        for file, modules in COUNTERPARTS.items()
        if f"bundle.runtime.{module}" in modules
        for name, value in constants_of(SOURCES / file).items()
    }
    content = Path(str(importlib.import_module(f"hwnas.bundle.runtime.{module}").__file__)).read_text("utf-8")
    stated = re.findall(r"^(_?[A-Z][A-Z0-9_, ]*) = [-0-9.]", content, flags=re.MULTILINE)
    names = [name.strip().lstrip("_") for names in stated for name in names.split(",")]
    assert names
    assert set(names) <= set(in_cpp)
