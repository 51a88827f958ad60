"""PyTorch as a backend: the reference that others are compared with, one operator after the other."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Set, Tuple

from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import model_files, read_outline
from hwnas.latency.backends.options import one_of


def _missing(reason: object) -> AgentError:
    return AgentError(
        f"The backend 'torch' needs torch and onnx, but importing them fails: {reason}. Install both."
    )


class TorchReference:
    """One ONNX file, run operator by operator in PyTorch, without any fusion.

    It tells what a network computes and costs in PyTorch itself; a vehicle is better served by others.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "device": "cpu or cuda (or cuda:1, ...) by its name in PyTorch; cpu unless given",
        "tf32": "on or off: whether float32 may be computed in TF32 on the GPU; off unless given",
    }

    def __init__(self, threads: int, device: str = "cpu", tf32: str = "off") -> None:
        """Import torch and onnx; `threads` run inside an operator.

        Raises:
            AgentError: if either is missing or there is no such device.
        """
        try:
            import onnx
            import torch

            from hwnas.latency.backends import torch_operators
        except ImportError as error:
            raise _missing(error) from error
        self._torch, self._onnx, self._operators = torch, onnx, torch_operators
        try:
            self._device = torch.device(device)
            torch.empty(1, device=self._device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise AgentError(
                f"PyTorch {torch.__version__} cannot use the device {device!r}: {error}"
            ) from error
        torch.set_num_threads(threads)
        self._tf32 = one_of("tf32", tf32, ("on", "off")) == "on"
        torch.backends.cuda.matmul.allow_tf32 = self._tf32
        torch.backends.cudnn.allow_tf32 = self._tf32
        self._inputs: Tuple[TensorSpec, ...] = ()
        self._output_names: List[str] = []
        self._host_names: Set[str] = set()
        self._weights: Dict[str, Any] = {}
        self._steps: List[Callable[[Dict[str, Any]], None]] = []
        self._bound: Dict[str, Any] = {}
        self._found: Dict[str, Any] = {}

    @classmethod
    def check_installed(cls, _options: Mapping[str, str]) -> None:
        """Refuse a machine without PyTorch or onnx.

        Raises:
            AgentError: saying what to install.
        """
        for name in ("onnx", "torch"):
            if find_spec(name) is None:
                raise _missing(f"No module named {name!r}")

    def versions(self) -> Dict[str, str]:
        """Return the version of PyTorch, and on a GPU which one it is."""
        versions = {"torch": str(self._torch.__version__)}
        if self._device.type == "cuda":
            versions["gpu"] = str(self._torch.cuda.get_device_name(self._device))
        return versions

    def settings(self) -> Dict[str, Any]:
        """Return what PyTorch is told."""
        return {"device": str(self._device), "tf32": self._tf32, "execution": "operator by operator"}

    def load(self, model: str) -> None:
        """Read an ONNX file; AgentError if it is none or has operators that are not known here."""
        outline = read_outline(model)
        unknown = sorted(set(outline.operators) - set(self._operators.OPERATORS) - {"Constant"})
        if unknown:
            raise AgentError(
                f"The backend 'torch' refuses the model: it does not know the operators {unknown}. "
                "Use onnxruntime as the reference for this one."
            )
        model_files(model)
        graph = self._onnx.load(model).graph
        on_host = self._operators.HOST_INPUTS
        self._host_names = {
            node.input[index]
            for node in graph.node
            for index in on_host.get(node.op_type, ())
            if index < len(node.input)
        }
        self._weights = {tensor.name: self._tensor(tensor, tensor.name) for tensor in graph.initializer}
        self._steps = [step for node in graph.node if (step := self._step(node)) is not None]
        self._inputs, self._output_names = outline.inputs, [spec.name for spec in outline.outputs]
        self._bound, self._found = {}, {}

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        return self._inputs

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Copy the inputs to the device."""
        names = [spec.name for spec in self._inputs]
        if sorted(arrays) != sorted(names):
            raise AgentError(f"The model has inputs {names}, but was given {sorted(arrays)}.")
        self._bound = {
            name: self._torch.from_numpy(array.copy()).to(self._device) for name, array in arrays.items()
        }

    def run(self) -> None:
        """Run one inference and wait for it; AgentError if it fails."""
        values = {**self._weights, **self._bound}
        try:
            with self._torch.inference_mode():
                for step in self._steps:
                    step(values)
            if self._device.type == "cuda":
                self._torch.cuda.synchronize(self._device)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise AgentError(f"PyTorch cannot run the model: {error!r}") from error
        self._found = {name: values[name] for name in self._output_names}

    def outputs(self) -> Dict[str, Any]:
        """Return what the last `run` computed, as numpy arrays by name, in graph order."""
        return {name: value.cpu().numpy() for name, value in self._found.items()}

    def _step(self, node: Any) -> Optional[Callable[[Dict[str, Any]], None]]:
        """Return what runs one node on the values by name; constants become weights at once."""
        attributes = {entry.name: self._attribute(entry) for entry in node.attribute}
        if node.op_type == "Constant":
            self._weights[node.output[0]] = self._tensor(attributes["value"], node.output[0])
            return None
        operator, names, output = self._operators.OPERATORS[node.op_type], list(node.input), node.output[0]

        def step(values: Dict[str, Any]) -> None:
            values[output] = operator([values[name] if name else None for name in names], attributes)

        return step

    def _attribute(self, entry: Any) -> Any:
        value = self._onnx.helper.get_attribute_value(entry)
        return value.decode() if isinstance(value, bytes) else value

    def _tensor(self, proto: Any, name: str) -> Any:
        array = self._onnx.numpy_helper.to_array(proto)
        dtype = self._operators.DTYPES.get(proto.data_type)
        if dtype is None:
            raise AgentError(f"The backend 'torch' does not know the type of the weight {name!r}.")
        if array.dtype.name == "bfloat16":
            array = array.astype("float32")
        device = "cpu" if name in self._host_names else self._device
        return self._torch.tensor(array, dtype=dtype, device=device)
