"""Simplifies graphs with onnxslim: folds constants, removes what has no effect, merges doubles."""

from __future__ import annotations

import logging

import onnx

from hwnas.errors import ExportError


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with fewer nodes and the same results; the input may be changed.

    Raises:
        ExportError: if the simplifier is not installed or fails.
    """
    try:
        import onnxslim
    except ImportError as error:
        raise ExportError(
            f"Exporting needs onnxslim, which cannot be imported ({error}). Install what hwnas needs with: "
            "pip install -c constraints.txt -e ."
        ) from error
    logger = logging.getLogger("onnxslim")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        result = onnxslim.slim(model)
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        raise ExportError(
            f"onnxslim {onnxslim.__version__} cannot simplify the graph ({type(error).__name__}: {error}). "
            "Install the version in constraints.txt."
        ) from error
    finally:
        logger.setLevel(level)
    assert isinstance(result, onnx.ModelProto)  # noqa: S101 - narrows an untyped result
    return result
