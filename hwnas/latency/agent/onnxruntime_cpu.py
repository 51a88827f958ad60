"""ONNX Runtime on the processor."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from hwnas.io_spec import TensorSpec
from hwnas.latency.agent.errors import AgentError

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
_ERRORS = (
    "EPFail",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoaded",
    "NoModel",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


class OnnxRuntimeCpu:
    """One model in ONNX Runtime's CPU provider, sequential execution, all graph optimisations."""

    def __init__(self, threads: int) -> None:
        """Import ONNX Runtime; `threads` run inside an operator, one operator at a time."""
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as native
        except ImportError as error:
            raise AgentError(
                f"The runtime 'onnxruntime-cpu' needs onnxruntime, but importing it fails: {error}. "
                "Install it with: pip install 'hwnas[cpu]'"
            ) from error
        self._onnxruntime = onnxruntime
        self._threads = threads
        found = [getattr(native, name) for name in _ERRORS if hasattr(native, name)]
        # Which classes exist depends on the version; the last three cover what the binding itself raises.
        self._errors: Tuple[Any, ...] = (*found, RuntimeError, ValueError, MemoryError)
        self._session: Any = None
        self._binding: Any = None

    def versions(self) -> Dict[str, str]:
        """Return the version of ONNX Runtime."""
        return {"onnxruntime": str(self._onnxruntime.__version__)}

    def load(self, model: str) -> None:
        """Load an ONNX file; AgentError if ONNX Runtime refuses it."""
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        try:
            self._session = self._onnxruntime.InferenceSession(
                model, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            raise AgentError(
                f"ONNX Runtime {self._onnxruntime.__version__} refuses the model: {error}. "
                "Export it with operators and an opset that this version knows."
            ) from error

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        specs = []
        for tensor in self._session.get_inputs():
            shape = tuple(axis if isinstance(axis, int) else -1 for axis in tensor.shape)
            specs.append(TensorSpec(tensor.name, shape, _DTYPES.get(tensor.type, tensor.type)))
        return tuple(specs)

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Bind inputs and outputs to memory, so that a run copies nothing."""
        self._binding = self._session.io_binding()
        for name, array in arrays.items():
            self._binding.bind_ortvalue_input(name, self._onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for tensor in self._session.get_outputs():
            self._binding.bind_output(tensor.name, "cpu")

    def run(self) -> None:
        """Run one inference; AgentError if it fails."""
        try:
            self._session.run_with_iobinding(self._binding)
        except self._errors as error:
            raise AgentError(f"ONNX Runtime cannot run the model: {error}") from error
