"""What every backend must do; a test class inherits and names one.

```python
class TestMine(BackendSuite):
    backend = "mine"
```
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.backend_class import backend_class as registered_class
from hwnas.latency.backends.base import Backend, make_backend
from hwnas.latency.backends.errors import AgentError
from hwnas.testing.onnx_models import conv_relu_reference, write_conv_relu, write_unknown_operator


class BackendSuite:
    """Subclasses say which backend: by `backend`, its registered name, or by a fixture `backend_class`."""

    backend: ClassVar[str]

    tolerance = 1e-4
    open_options: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def backend_class(self) -> type:
        found: type = registered_class(self.backend)
        return found

    @pytest.fixture
    def make(self, backend_class: type) -> Callable[..., Backend]:
        path = f"{backend_class.__module__}:{backend_class.__qualname__}"
        return lambda **options: make_backend(path, 1, {**self.open_options, **options})

    @pytest.fixture
    def model(self, tmp_path: Path) -> tuple[Path, IoSpec]:
        path = tmp_path / "model.onnx"
        return path, write_conv_relu(path)

    @pytest.fixture
    def image(self) -> np.ndarray[Any, Any]:
        return np.random.default_rng(3).standard_normal((1, 3, 8, 16)).astype(np.float32)

    def test_versions_are_texts(self, make: Callable[..., Backend]) -> None:
        versions = make().versions()
        assert versions
        assert all(isinstance(version, str) and version for version in versions.values())

    def test_settings_are_plain_json(self, make: Callable[..., Backend]) -> None:
        settings = make().settings()
        assert json.loads(json.dumps(settings, allow_nan=False)) == settings

    def test_inputs_are_those_of_the_file(
        self, make: Callable[..., Backend], model: tuple[Path, IoSpec]
    ) -> None:
        backend = make()
        backend.load(str(model[0]))
        assert backend.inputs() == model[1].inputs == (TensorSpec("image", (1, 3, 8, 16)),)

    def test_outputs_are_right(
        self,
        make: Callable[..., Backend],
        model: tuple[Path, IoSpec],
        image: np.ndarray[Any, Any],
    ) -> None:
        backend = make()
        backend.load(str(model[0]))
        backend.bind({"image": image})
        backend.run()
        found = backend.outputs()
        assert list(found) == ["score"]
        expected = conv_relu_reference(image)
        assert found["score"].dtype == np.float32
        assert 0.2 < np.mean(expected > 0) < 0.8, "the reference must exercise both sides of the ReLU"
        np.testing.assert_allclose(found["score"], expected, rtol=self.tolerance, atol=self.tolerance)

    def test_new_inputs_give_new_outputs(
        self,
        make: Callable[..., Backend],
        model: tuple[Path, IoSpec],
        image: np.ndarray[Any, Any],
    ) -> None:
        backend = make()
        backend.load(str(model[0]))
        for scale in (1.0, -2.0):
            backend.bind({"image": scale * image})
            backend.run()
            backend.run()
            expected = conv_relu_reference(scale * image)
            np.testing.assert_allclose(
                backend.outputs()["score"], expected, rtol=self.tolerance, atol=2 * self.tolerance
            )

    def test_another_model_can_follow(
        self, make: Callable[..., Backend], model: tuple[Path, IoSpec], tmp_path: Path
    ) -> None:
        backend = make()
        backend.load(str(model[0]))
        wider = write_conv_relu(tmp_path / "wider.onnx", width=32)
        backend.load(str(tmp_path / "wider.onnx"))
        assert backend.inputs() == wider.inputs
        image = np.ones((1, 3, 8, 32), np.float32)
        backend.bind({"image": image})
        backend.run()
        np.testing.assert_allclose(
            backend.outputs()["score"], conv_relu_reference(image), rtol=self.tolerance, atol=self.tolerance
        )

    def test_broken_file_is_refused(self, make: Callable[..., Backend], tmp_path: Path) -> None:
        path = tmp_path / "text.onnx"
        path.write_text("this is no network")
        with pytest.raises(AgentError, match="refuse"):
            make().load(str(path))

    def test_unknown_operator_is_named(self, make: Callable[..., Backend], tmp_path: Path) -> None:
        path = tmp_path / "unknown.onnx"
        write_unknown_operator(path)
        with pytest.raises(AgentError, match="Levitate"):
            make().load(str(path))

    def test_refusal_leaves_the_backend_usable(
        self, make: Callable[..., Backend], model: tuple[Path, IoSpec], tmp_path: Path
    ) -> None:
        backend = make()
        (tmp_path / "text.onnx").write_text("this is no network")
        with pytest.raises(AgentError):
            backend.load(str(tmp_path / "text.onnx"))
        backend.load(str(model[0]))
        assert backend.inputs() == model[1].inputs

    def test_unknown_option_is_refused(self, make: Callable[..., Backend]) -> None:
        with pytest.raises(AgentError, match="has no option 'colour'"):
            make(colour="red")

    def test_options_are_described(self, backend_class: type) -> None:
        options = backend_class.OPTIONS  # type: ignore[attr-defined]
        assert all(name.isidentifier() and len(text) > 10 for name, text in options.items())
