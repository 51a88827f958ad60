"""ONNX Runtime with any of its execution providers."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Tuple

from hwnas.files import utf8_path
from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import model_files
from hwnas.latency.backends.onnxruntime_kernels import read_kernels
from hwnas.latency.backends.options import one_of, whole_number
from hwnas.onnxruntime_loading import SESSION_ENTRIES, load_onnxruntime
from hwnas.scratch import ScratchDirectory

CPU_PROVIDER = "CPUExecutionProvider"
_CUDA_PROVIDER = "CUDAExecutionProvider"

# Where a provider keeps its tensors; the others work in ordinary memory.
_MEMORY = {
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "NvTensorRTRTXExecutionProvider": "cuda",
    "NvTensorRtRtxExecutionProvider": "cuda",
    "MIGraphXExecutionProvider": "cuda",
    "ROCMExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "CANNExecutionProvider": "cann",
}
_NUMPY_NAMES = {"float": "float32", "double": "float64"}
# Threads wait for work by spinning inside a run, as they do on a vehicle, but not once it has returned:
# several sessions live in one process and are clocked in turn.
_SESSION_ENTRIES = {"session.force_spinning_stop": "1"}
_WEIGHTS_OF_TRACE = "session.optimized_model_external_initializers_file_name"
# The first run plans the memory, the second touches it for the first time: both are much slower.
_UNTIMED_RUNS = 2
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


def _dtype(kind: str) -> str:
    """Return the numpy dtype name for a type as ONNX Runtime writes it, such as `tensor(float)`.

    What is no tensor keeps its name.
    """
    if not (kind.startswith("tensor(") and kind.endswith(")")):
        return kind
    element = kind[len("tensor(") : -1]
    return _NUMPY_NAMES.get(element, element)


def _missing(reason: object) -> AgentError:
    return AgentError(
        f"The backend 'onnxruntime' needs the package onnxruntime, but importing it fails: {reason}. "
        "Install it with: pip install 'hwnas[cpu]' (or 'hwnas[gpu]' for NVIDIA GPUs)."
    )


class OnnxRuntime:
    """One model in one execution provider, sequential execution, all graph optimisations.

    Inputs and outputs lie in the memory of the provider, so that a run copies nothing; a run ends when the
    provider has finished.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "provider": f"execution provider by its name in ONNX Runtime, {CPU_PROVIDER} unless given",
        "device": "number of the device that the provider uses, 0 unless given",
        "tf32": "on or off: whether the CUDA provider may compute float32 in TF32; on unless given",
    }

    def __init__(
        self, threads: int, provider: str = CPU_PROVIDER, device: str = "0", tf32: str = "on"
    ) -> None:
        """Import ONNX Runtime; `threads` run inside an operator, one operator at a time.

        Raises:
            AgentError: if ONNX Runtime is missing, has no such provider or device number, or the provider
                knows no TF32.
        """
        try:
            onnxruntime = load_onnxruntime()
            native = load_onnxruntime("onnxruntime.capi.onnxruntime_pybind11_state")
        except ImportError as error:
            raise _missing(error) from error
        available = list(onnxruntime.get_available_providers())
        if provider not in available:
            near = get_close_matches(provider, available, n=1, cutoff=0.95)
            hint = f"Did you mean {near[0]!r}?" if near else "Install the onnxruntime package that has it."
            raise AgentError(
                f"ONNX Runtime {onnxruntime.__version__} has no provider {provider!r} here, only "
                f"{available}. {hint}"
            )
        self._onnxruntime = onnxruntime
        self._threads = threads
        self._provider = provider
        self._device = whole_number("device", device)
        self._tf32 = one_of("tf32", tf32, ("on", "off")) == "on"
        if not self._tf32 and provider != _CUDA_PROVIDER:
            raise AgentError(f"'tf32' is a setting of {_CUDA_PROVIDER!r}; leave it out for {provider!r}.")
        self._memory = _MEMORY.get(provider, "cpu")
        if self._memory == "cuda" and hasattr(onnxruntime, "preload_dlls"):
            # CUDA and cuDNN as packages of pip, such as those of PyTorch, lie where no loader looks.
            onnxruntime.preload_dlls()
        found = [getattr(native, name) for name in _ERRORS if hasattr(native, name)]
        # Which classes exist depends on the version; the last three cover what the binding itself raises.
        self._errors: Tuple[Any, ...] = (*found, RuntimeError, ValueError, MemoryError)
        self._session: Any = None
        self._binding: Any = None
        self._values: Dict[str, Any] = {}
        self._trace_directory = ""

    @classmethod
    def check_installed(cls, _options: Mapping[str, str]) -> None:
        """Refuse a machine without ONNX Runtime.

        Raises:
            AgentError: saying how to install it.
        """
        if find_spec("onnxruntime") is None:
            raise _missing("No module named 'onnxruntime'")

    def versions(self) -> Dict[str, str]:
        """Return the version of ONNX Runtime."""
        return {"onnxruntime": str(self._onnxruntime.__version__)}

    def settings(self) -> Dict[str, Any]:
        """Return the settings of a session."""
        return {
            "execution_mode": "sequential",
            "graph_optimization_level": "all",
            "inter_op_num_threads": 1,
            **({} if self._tf32 else {"tf32": False}),
            **_SESSION_ENTRIES,
        }

    def load(self, model: str) -> None:
        """Load an ONNX file; AgentError if a file is amiss, or ONNX Runtime or the provider refuses it."""
        files = model_files(model)
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        for key, value in {**_SESSION_ENTRIES, **SESSION_ENTRIES}.items():
            options.add_session_config_entry(key, value)
        if self._trace_directory:
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(self._trace_directory, "trace")
            options.optimized_model_filepath = os.path.join(self._trace_directory, "graph.onnx")
            if files.external:  # which may be larger than any ONNX file
                options.add_session_config_entry(_WEIGHTS_OF_TRACE, "weights.bin")
        try:
            with utf8_path(model) as path:
                session = self._onnxruntime.InferenceSession(
                    path, sess_options=options, providers=self._providers()
                )
        except (*self._errors, OSError) as error:
            raise AgentError(
                f"ONNX Runtime {self._onnxruntime.__version__} refuses the model: {error}. "
                "Export it with operators and an opset that this version knows."
            ) from error
        # ONNX Runtime goes on without a provider whose libraries do not load, and says so in its log only.
        active = session.get_providers()
        if self._provider not in active:
            raise AgentError(
                f"ONNX Runtime cannot start {self._provider!r} and would use {active} instead. Install the "
                "driver and libraries that this provider needs; its own message is in the log above."
            )
        self._session = session
        self._binding = None

    def kernels(self, model: str, bind: Callable[[], None], runs: int) -> List[Dict[str, Any]]:
        """Run a model with ONNX Runtime's profiler and return its kernels, see `read_kernels`.

        Args:
            model: file; what was loaded before is gone.
            bind: binds its inputs once it is loaded.
            runs: how often to run it; two more come before.

        Raises:
            AgentError: if the provider runs kernels that the profiler cannot time, or the model is refused.
        """
        if self._provider != CPU_PROVIDER:
            raise AgentError(
                f"Kernels of {self._provider!r} run on after their calls and cannot be timed so."
            )
        with ScratchDirectory("trace") as directory:
            self._trace_directory = directory
            try:
                self.load(model)
                bind()
                for _ in range(runs + _UNTIMED_RUNS):
                    self.run()
                trace = self._session.end_profiling()
                return read_kernels(trace, os.path.join(directory, "graph.onnx"), skipped_runs=_UNTIMED_RUNS)
            finally:
                self._trace_directory = ""
                self._session = self._binding = None

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        specs = []
        for tensor in self._session.get_inputs():
            shape = tuple(axis if isinstance(axis, int) and axis > 0 else -1 for axis in tensor.shape)
            specs.append(TensorSpec(tensor.name, shape, _dtype(tensor.type)))
        return tuple(specs)

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Copy the inputs to the provider's memory and have it keep the outputs there."""
        self._binding = self._session.io_binding()
        self._values = {}
        make_value = self._onnxruntime.OrtValue.ortvalue_from_numpy
        try:
            for name, array in arrays.items():
                self._values[name] = make_value(array, self._memory, self._device)
                self._binding.bind_ortvalue_input(name, self._values[name])
            for tensor in self._session.get_outputs():
                self._binding.bind_output(tensor.name, self._memory, self._device)
        except self._errors as error:
            raise AgentError(f"ONNX Runtime cannot take these inputs: {error}") from error

    def write(self, arrays: Mapping[str, Any]) -> None:
        """Copy further inputs of the same shapes to the memory that `bind` reserved."""
        try:
            for name, array in arrays.items():
                self._values[name].update_inplace(array)
        except self._errors as error:
            raise AgentError(f"ONNX Runtime cannot take these inputs: {error}") from error

    def run(self) -> None:
        """Run one inference; AgentError if it fails."""
        try:
            self._session.run_with_iobinding(self._binding)
            if self._memory != "cpu":
                self._binding.synchronize_outputs()
        except self._errors as error:
            raise AgentError(f"ONNX Runtime cannot run the model: {error}") from error

    def outputs(self) -> Dict[str, Any]:
        """Return what the last `run` computed, as numpy arrays by name, in graph order."""
        names = [tensor.name for tensor in self._session.get_outputs()]
        return dict(zip(names, self._binding.copy_outputs_to_cpu()))  # noqa: B905 - Python 3.8

    def _providers(self) -> List[Any]:
        if self._provider == CPU_PROVIDER:
            return [CPU_PROVIDER]
        settings = {"device_id": str(self._device)} if self._memory != "cpu" else {}
        if not self._tf32:
            settings["use_tf32"] = "0"
        # What a provider cannot do falls to the processor, which is then part of the measured latency.
        return [(self._provider, settings), CPU_PROVIDER]


class OnnxRuntimeCpu(OnnxRuntime):
    """ONNX Runtime on the processor: the backend that every machine has."""

    OPTIONS: ClassVar[Mapping[str, str]] = {}

    def __init__(self, threads: int) -> None:
        """Import ONNX Runtime; see `OnnxRuntime`."""
        super().__init__(threads)
