"""TensorRT 10.x and 11.x, through one code path."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Mapping, Tuple

from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.builder_options import BUILD, BUILDER_OPTIONS, DEVICE, builder_settings
from hwnas.latency.backends.child_process import run_in_child
from hwnas.latency.backends.cuda_driver import CudaDriver, load_driver
from hwnas.latency.backends.engine_cache import EngineCache, key_of
from hwnas.latency.backends.engine_identity import EngineIdentity, Machine, check_engine
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import identity_of_model, read_outline
from hwnas.latency.backends.options import one_of, whole_number
from hwnas.latency.backends.tensorrt_build import MODULES, import_tensorrt, make_log
from hwnas.latency.backends.tensorrt_compatibility import HARDWARE_LEVELS

if TYPE_CHECKING:
    import tensorrt

# A build may crash, take all memory or hang; that must not end the agent.
_BUILD = "hwnas.latency.backends.tensorrt_build:build_engine"

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}


class TensorRt:
    """One engine on one GPU: built from the ONNX file once, kept by content, run on a stream of its own.

    One inference is enqueued and waited for before the next, as a vehicle does: unlike trtexec, whose figures
    overlap one enqueue with the inference before. The types of the file decide the precision.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "device": DEVICE,
        **BUILDER_OPTIONS,
        "hardware_compatibility": "none, ampere-plus or same-compute-capability: GPUs that the engine is for "
        "beside this one; none unless given",
        "version_compatible": "on or off: whether later versions of TensorRT may run it; off unless given",
        "build_route": "knobs of the builder, as TensorRT 11.1 and later have them; its own unless given",
        "build": BUILD,
    }
    PRODUCT: ClassVar[str] = "tensorrt"

    def __init__(
        self,
        threads: int,
        device: str = "0",
        dla_core: str = "",
        optimization_level: str = "3",
        workspace_mb: str = "0",
        tf32: str = "on",
        hardware_compatibility: str = "none",
        version_compatible: str = "off",
        build_route: str = "",
        build: str = "0",
    ) -> None:
        """Import TensorRT and open the GPU; `threads` is what the host gives, one thread enqueues.

        Raises:
            AgentError: if TensorRT or the GPU is missing, or an option is out of range.
        """
        self._settings: Dict[str, Any] = {
            "product": self.PRODUCT,
            **builder_settings(dla_core, optimization_level, workspace_mb, tf32),
            "hardware_compatibility": one_of(
                "hardware_compatibility", hardware_compatibility, tuple(HARDWARE_LEVELS)
            ),
            "version_compatible": one_of("version_compatible", version_compatible, ("on", "off")) == "on",
            "build_route": build_route,
            "compute_capabilities": [],
        }
        self._build_number = whole_number("build", build)
        self._trt = import_tensorrt(self.PRODUCT)
        self._driver = CudaDriver(whole_number("device", device))
        self._log = make_log(self._trt)
        self._cache = EngineCache()
        self._record: Dict[str, Any] = {}
        self._path = ""
        self._engine: tensorrt.ICudaEngine  # both come with `load`
        self._context: tensorrt.IExecutionContext
        self._inputs: Tuple[TensorSpec, ...] = ()
        self._output_names: Tuple[str, ...] = ()
        self._addresses: Dict[str, int] = {}
        self._stream = self._driver.stream()

    @classmethod
    def check_installed(cls, _options: Mapping[str, str]) -> None:
        """Refuse a machine without the Python module or the driver of NVIDIA GPUs.

        Raises:
            AgentError: saying which is missing.
        """
        if not any(find_spec(name) for name in MODULES[cls.PRODUCT]):
            import_tensorrt(cls.PRODUCT)  # fails at once, and says how to install it
        load_driver()

    def versions(self) -> Dict[str, str]:
        """Return the versions of TensorRT and the driver, and which GPU it is."""
        return {self.PRODUCT: str(self._trt.__version__), **self._driver.identity()}

    def settings(self) -> Dict[str, Any]:
        """Return how engines are built."""
        return {**self._settings, "build": self._build_number}

    def load(self, model: str) -> None:
        """Build the engine of an ONNX file, or take the one built before, and make it ready to run.

        Raises:
            AgentError: if the model is refused, the build fails, or the engine does not load.
        """
        outline = read_outline(model)
        model_sha256 = identity_of_model(model)
        key = self._key(model_sha256, self._build_number)
        record = self._cache.find(key)
        if record is None or "identity" not in record:
            built = run_in_child(_BUILD, {**self._settings, **self._build_paths(model, key)})
            record = {**built, "identity": self._identity_of(built, model_sha256).to_json()}
            self._cache.keep(key, record)
        path, identity = self._cache.path(key), EngineIdentity.from_json(record["identity"])
        check_engine(path, identity, self._machine(), model_sha256)
        self._open_engine(path, identity.settings)
        self._record, self._path = record, path
        self._output_names = tuple(spec.name for spec in outline.outputs)
        self._inputs = tuple(self._spec(spec.name) for spec in outline.inputs)

    def load_engine(self, path: str, identity: Mapping[str, Any]) -> None:
        """Load an engine that was built earlier, perhaps elsewhere; doing so runs native code of it.

        Args:
            path: of the engine.
            identity: its record, see `EngineIdentity`.

        Raises:
            AgentError: if it is not what its record says, if anything it depends on is otherwise here, or if
                TensorRT does not load it.
        """
        found = EngineIdentity.from_json(identity)
        check_engine(path, found, self._machine())
        self._open_engine(path, found.settings)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        is_input = {
            name: self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT for name in names
        }
        self._record = {
            "typing": found.typing,
            "engine_bytes": found.engine_bytes,
            "engine_sha256": found.engine_sha256,
            "identity": found.to_json(),
        }
        self._path = path
        self._output_names = tuple(name for name in names if not is_input[name])
        self._inputs = tuple(self._spec(name) for name in names if is_input[name])

    def engine_file(self) -> Tuple[str, Dict[str, Any]]:
        """Return the path of the loaded engine and its record, see `EngineIdentity`."""
        return self._path, dict(self._record["identity"])

    def adopt_build(self, model: str, build: int) -> None:
        """Take the engine of the build of that number from now on.

        Raises:
            AgentError: if it was not built.
        """
        model_sha256 = identity_of_model(model)
        self._cache.adopt(self._key(model_sha256, self._build_number), self._key(model_sha256, build))

    def use_in_this_thread(self) -> None:
        """Prepare the calling thread, where it is not the one that made this backend."""
        self._driver.use_in_this_thread()

    def build_record(self) -> Dict[str, Any]:
        """Return how the loaded engine was built, see `tensorrt_build.build_engine`."""
        return dict(self._record)

    def engine_bytes(self) -> int:
        """Return the size of the loaded engine."""
        return int(self._record["engine_bytes"])

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        return self._inputs

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Copy the inputs to the GPU and reserve memory for the outputs there.

        Raises:
            AgentError: if an input is missing or unknown, or memory is short.
        """
        names = [spec.name for spec in self._inputs]
        if sorted(arrays) != sorted(names):
            raise AgentError(f"The engine has inputs {names}, but was given {sorted(arrays)}.")
        self._driver.free()
        self._addresses = {}
        for name, array in arrays.items():
            if not self._context.set_input_shape(name, tuple(array.shape)):
                raise AgentError(f"The engine does not take {name!r} in the shape {list(array.shape)}.")
            self._place(name, array.nbytes)
            self._driver.write(self._addresses[name], array)
        for name in self._output_names:
            self._place(name, self._empty(name).nbytes)

    def write(self, arrays: Mapping[str, Any]) -> None:
        """Copy further inputs of the same shapes to the memory that `bind` reserved."""
        for name, array in arrays.items():
            self._driver.write(self._addresses[name], array)

    def run(self) -> None:
        """Run one inference and wait for it; AgentError if it fails."""
        if not self._context.execute_async_v3(self._stream):
            raise AgentError(f"TensorRT cannot run the engine: {'; '.join(self._log.messages[-3:])}")
        self._driver.synchronize(self._stream)

    def outputs(self) -> Dict[str, Any]:
        """Return what the last `run` computed, as numpy arrays by name, in graph order."""
        found = {}
        for name in self._output_names:
            found[name] = self._empty(name)
            self._driver.read(self._addresses[name], found[name])
        return found

    def _key(self, model_sha256: str, build: int) -> str:
        settings = {**self.settings(), "build": build}
        return key_of({"model": model_sha256, "settings": settings, "versions": self.versions()})

    def _build_paths(self, model: str, key: str) -> Dict[str, str]:
        # Known timings would make a second build choose what the first one chose.
        timing_cache = "" if self._build_number else self._cache.timing_cache(self.versions())
        return {"model": model, "engine": self._cache.path(key), "timing_cache": timing_cache}

    def _machine(self) -> Machine:
        found = self._driver.identity()
        return Machine(self.PRODUCT, str(self._trt.__version__), found["gpu"], found["compute_capability"])

    def _identity_of(self, record: Mapping[str, Any], model_sha256: str) -> EngineIdentity:
        here = self._machine()
        return EngineIdentity(
            product=here.product,
            version=here.version,
            gpu=here.gpu,
            compute_capabilities=(here.compute_capability,),
            model_sha256=model_sha256,
            settings=self.settings(),
            engine_sha256=str(record["engine_sha256"]),
            engine_bytes=int(record["engine_bytes"]),
            typing=str(record["typing"]),
        )

    def _open_engine(self, path: str, settings: Mapping[str, Any]) -> None:
        runtime: tensorrt.Runtime = self._trt.Runtime(self._log)
        if settings.get("dla_core", -1) >= 0:
            runtime.DLA_core = settings["dla_core"]
        if settings.get("version_compatible"):
            runtime.engine_host_code_allowed = True  # such engines bring a runtime of their own
        with open(path, "rb") as stream:
            engine = runtime.deserialize_cuda_engine(stream.read())
        context = engine.create_execution_context() if engine is not None else None
        if context is None:
            raise AgentError(
                f"{self.PRODUCT} {self._trt.__version__} cannot load the engine it built: "
                f"{'; '.join(self._log.messages[-3:]) or 'no reason given'}. Free GPU memory; if that does "
                f"not help, delete {path!r} to have it built anew."
            )
        self._engine, self._context = engine, context

    def _spec(self, name: str) -> TensorSpec:
        shape = tuple(_sizes(self._engine.get_tensor_shape(name)))
        return TensorSpec(name, shape, self._dtype(name))

    def _dtype(self, name: str) -> str:
        kind = str(self._engine.get_tensor_dtype(name).name)
        return _DTYPES.get(kind, kind.lower())

    def _empty(self, name: str) -> Any:
        import numpy as np

        try:
            dtype = np.dtype(self._dtype(name))
        except TypeError as error:
            raise AgentError(
                f"Output {name!r} has type {self._dtype(name)}, which numpy does not know; "
                "add a cast to the model."
            ) from error
        shape: List[int] = _sizes(self._context.get_tensor_shape(name))
        return np.empty(shape, dtype)

    def _place(self, name: str, size_bytes: int) -> None:
        self._addresses[name] = self._driver.allocate(size_bytes)
        if not self._context.set_tensor_address(name, self._addresses[name]):
            raise AgentError(f"TensorRT does not take memory for {name!r}: {self._log.messages[-1:]}")


def _sizes(shape: tensorrt.Dims) -> List[int]:
    return [int(shape[axis]) for axis in range(len(shape))]
