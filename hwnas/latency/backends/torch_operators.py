"""ONNX operators in PyTorch: those that exported networks consist of.

Each function takes the input tensors (None for one left out) and the attributes, and returns the output, as
https://onnx.ai/onnx/operators defines it. Only `torch_reference` imports this module, for it needs torch.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hwnas.latency.backends.errors import AgentError

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Optional[Tensor]], Attributes], Tensor]

# TensorProto.DataType -> torch
DTYPES: Dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def _conv(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    image, weight, bias = _padded_list(inputs, 3)
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    padding = _symmetric(attributes)
    if padding is None:
        image, padding = functional.pad(image, _torch_padding(attributes["pads"])), [0, 0]
    return functional.conv2d(image, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def _conv_transpose(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    image, weight, bias = _padded_list(inputs, 3)
    padding = _symmetric(attributes)
    if padding is None:
        raise AgentError(f"ConvTranspose with uneven pads {attributes['pads']} is not supported by torch.")
    return functional.conv_transpose2d(
        image,
        weight,
        bias,
        attributes.get("strides", [1, 1]),
        padding,
        attributes.get("output_padding", [0, 0]),
        attributes.get("group", 1),
        attributes.get("dilations", [1, 1]),
    )


def _resize(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    image, _, scales, sizes = _padded_list(inputs, 4)
    mode = attributes.get("mode", "nearest")
    transform = attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    size = (
        [int(value) for value in sizes.tolist()[2:]]
        if sizes is not None
        else [int(length * scale) for length, scale in zip(image.shape[2:], scales.tolist()[2:])]  # noqa: B905
    )
    if mode == "linear" and transform in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        is_aligned = transform == "align_corners"
        return functional.interpolate(image, size, mode="bilinear", align_corners=is_aligned)
    if mode == "nearest" and (transform, rounding) == ("asymmetric", "floor"):
        return functional.interpolate(image, size, mode="nearest")
    if mode == "nearest" and transform == "half_pixel":
        return functional.interpolate(image, size, mode="nearest-exact")
    raise AgentError(f"Resize with {mode}, {transform}, {rounding} is not supported by torch.")


def _depth_to_space(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    (image,) = _present(inputs)
    block = int(attributes["blocksize"])
    if attributes.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(image, block)
    batch, channels, height, width = image.shape
    split = image.reshape(batch, block, block, channels // block**2, height, width)
    return split.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * block, width * block)


def _pad(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    image, pads, value, axes = _padded_list(inputs, 4)
    if axes is not None:
        raise AgentError("Pad with axes is not supported by torch.")
    mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}[
        attributes.get("mode", "constant")
    ]
    padding = _torch_padding(pads.tolist())
    while mode != "constant" and len(padding) > 4:
        if any(padding[-2:]):
            raise AgentError("Pad of other axes than the last two is not supported by torch.")
        padding = padding[:-2]
    if mode == "constant":
        return functional.pad(image, padding, mode, 0.0 if value is None else value.item())
    return functional.pad(image, padding, mode)


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduced(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
        image, axes = _padded_list(inputs, 2)
        wished = axes.tolist() if axes is not None else attributes.get("axes", list(range(image.dim())))
        return function(
            image, dim=[int(axis) for axis in wished], keepdim=bool(attributes.get("keepdims", 1))
        )

    return reduced


def _quantize(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    values, scale, zero = _padded_list(inputs, 3)
    axis = int(attributes.get("axis", 1))
    dtype = torch.uint8 if zero is None else zero.dtype
    limits = torch.iinfo(dtype)
    scaled = torch.round(values / _along(scale, axis, values))
    shifted = scaled + (0 if zero is None else _along(zero, axis, values).to(scaled.dtype))
    return shifted.clamp(limits.min, limits.max).to(dtype)


def _dequantize(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    values, scale, zero = _padded_list(inputs, 3)
    axis = int(attributes.get("axis", 1))
    shifted = values.to(scale.dtype)
    if zero is not None:
        shifted = shifted - _along(zero, axis, values).to(scale.dtype)
    product: Tensor = shifted * _along(scale, axis, values)
    return product


def _clip(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    values, low, high = _padded_list(inputs, 3)
    return torch.clamp(values, None if low is None else low.item(), None if high is None else high.item())


def _arg_max(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    (values,) = _present(inputs)
    return torch.argmax(values, int(attributes.get("axis", 0)), keepdim=bool(attributes.get("keepdims", 1)))


def _max_pool(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    (image,) = _present(inputs)
    padding = _symmetric(attributes)
    if padding is None or attributes.get("ceil_mode", 0):
        raise AgentError("MaxPool with uneven pads or ceil_mode is not supported by torch.")
    kernel = attributes["kernel_shape"]
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return functional.max_pool2d(image, kernel, strides, padding, dilations)


def _hard_sigmoid(inputs: Sequence[Optional[Tensor]], attributes: Attributes) -> Tensor:
    (values,) = _present(inputs)
    slope, shift = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    if abs(slope - 1 / 6) < 1e-6 and shift == 0.5:
        return functional.hardsigmoid(values)
    return torch.clamp(slope * values + shift, 0, 1)


def _each(function: Callable[..., Tensor]) -> Operator:
    return lambda inputs, _attributes: function(*_present(inputs))


OPERATORS: Dict[str, Operator] = {
    "Add": _each(torch.add),
    "ArgMax": _arg_max,
    "Cast": lambda inputs, attributes: _present(inputs)[0].to(DTYPES[int(attributes["to"])]),
    "Clip": _clip,
    "Concat": lambda inputs, attributes: torch.cat(_present(inputs), dim=int(attributes["axis"])),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize,
    "Div": _each(torch.div),
    "GlobalAveragePool": _each(lambda image: image.mean(dim=(2, 3), keepdim=True)),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _each(functional.hardswish),
    "Identity": _each(lambda value: value),
    "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(
        _present(inputs)[0], float(attributes.get("alpha", 0.01))
    ),
    "MaxPool": _max_pool,
    "Mul": _each(torch.mul),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "Relu": _each(torch.relu),
    "Reshape": _each(lambda value, shape: value.reshape(shape.tolist())),
    "Resize": _resize,
    "Sigmoid": _each(torch.sigmoid),
    "Softmax": lambda inputs, attributes: torch.softmax(_present(inputs)[0], int(attributes.get("axis", -1))),
    "Sub": _each(torch.sub),
    "Transpose": lambda inputs, attributes: _present(inputs)[0].permute(attributes["perm"]),
}

# Inputs whose values decide shapes: read on the host, where waiting for a GPU would cost time.
HOST_INPUTS: Dict[str, Sequence[int]] = {
    "Clip": (1, 2),
    "Pad": (1, 2, 3),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
}


def _present(inputs: Sequence[Optional[Tensor]]) -> List[Tensor]:
    return [tensor for tensor in inputs if tensor is not None]


def _padded_list(inputs: Sequence[Optional[Tensor]], count: int) -> List[Any]:
    """Return the inputs, None for those that may be left out at the end."""
    return [*inputs, *[None] * (count - len(inputs))]


def _symmetric(attributes: Attributes) -> Optional[List[int]]:
    """Return pads as (rows, columns) where both ends have the same, else None."""
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", ""):
        raise AgentError(
            f"auto_pad {attributes['auto_pad']!r} is not supported by torch; export explicit pads."
        )
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    return [top, left] if (top, left) == (bottom, right) else None


def _torch_padding(pads: Sequence[float]) -> List[int]:
    """Return ONNX pads (all beginnings, then all ends) in torch's order: last axis first, in pairs."""
    half = len(pads) // 2
    pairs = [(int(pads[axis]), int(pads[half + axis])) for axis in range(half)]
    return [size for pair in reversed(pairs) for size in pair]


def _along(vector: Tensor, axis: int, like: Tensor) -> Tensor:
    """Return a scale or zero point so that it broadcasts along `axis` of `like`."""
    if vector.numel() == 1:
        return vector.reshape(())
    shape = [1] * like.dim()
    shape[axis] = vector.numel()
    return vector.reshape(shape)
