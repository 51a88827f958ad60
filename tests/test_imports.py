"""What a light installation and a fast command line must not load."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("hwnas", ("torch", "optuna", "onnx", "numpy")),
        ("hwnas.cli.main", ("torch", "optuna", "onnx")),
        ("hwnas.bundle.inference.infer", ("torch", "optuna", "onnx", "pydantic")),
        ("hwnas.range_view.projection", ("torch", "optuna")),
    ],
)
def test_import_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    program = (
        f"import sys, {module}\n"
        "if hasattr(sys.modules['hwnas'], 'cli'): sys.modules['hwnas.cli.main'].make_app()\n"
        f"print([m for m in {forbidden!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
