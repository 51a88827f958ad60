from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.files import sha256_of_file
from hwnas.latency.backends.engine_identity import EngineIdentity, Machine, check_engine
from hwnas.latency.backends.errors import AgentError
from tests.latency.backends.fake_tensorrt import plan_of

HERE = Machine("tensorrt", "10.13.3.9", "Orin", "8.7")
MODEL = "a" * 64


@pytest.fixture
def engine(tmp_path: Path) -> str:
    (tmp_path / "x.engine").write_bytes(plan_of("10.13.3.9", {}))
    return str(tmp_path / "x.engine")


@pytest.fixture
def identity(engine: str) -> EngineIdentity:
    return EngineIdentity(
        "tensorrt", "10.13.3.9", "Orin", ("8.7",), MODEL, {"tf32": True}, sha256_of_file(engine), 30, "strong"
    )


def test_what_it_was_built_for_is_taken(engine: str, identity: EngineIdentity) -> None:
    check_engine(engine, identity, HERE, MODEL)
    check_engine(engine, EngineIdentity.from_json(identity.to_json()), replace(HERE, version="10.13.3"))


@pytest.mark.parametrize(
    ("here", "reported"),
    [
        ({"version": "10.16.2.10"}, r"built with tensorrt 10\.13\.3\.9, here is 10\.16\.2\.10"),
        ({"gpu": "Thor", "compute_capability": "11.0"}, r"Orin \(compute capability 8\.7\), here is Thor"),
        ({"gpu": "Orin Nano"}, "here is Orin Nano"),
        ({"product": "tensorrt-rtx", "version": "1.7.1.116"}, "for tensorrt, not for tensorrt-rtx"),
    ],
)
def test_another_machine_is_refused(
    engine: str, identity: EngineIdentity, here: dict[str, str], reported: str
) -> None:
    with pytest.raises(AgentError, match=reported):
        check_engine(engine, identity, replace(HERE, **here))


def test_everything_that_differs_is_told_at_once(engine: str, identity: EngineIdentity) -> None:
    Path(engine).write_bytes(plan_of("10.7.0.23", {}))
    with pytest.raises(AgentError) as error:
        check_engine(engine, identity, replace(HERE, version="11.4.1.1", gpu="Thor"), "b" * 64)
    for reported in (
        "file was changed",
        "header says tensorrt 10.7.0.23",
        "11.4.1.1",
        "Thor",
        "of another model",
    ):
        assert reported in str(error.value)


@pytest.mark.parametrize(
    ("level", "gpu", "capability", "fits"),
    [
        ("same-compute-capability", "Orin Nano", "8.7", True),
        ("same-compute-capability", "RTX 3090", "8.6", False),
        ("ampere-plus", "RTX 3090", "8.6", True),
        ("ampere-plus", "Thor", "11.0", True),
        ("ampere-plus", "T4", "7.5", False),
        ("none", "Orin Nano", "8.7", False),
    ],
)
def test_compatible_gpus(
    engine: str, identity: EngineIdentity, level: str, gpu: str, capability: str, fits: bool
) -> None:
    built = replace(identity, settings={"hardware_compatibility": level})
    here = replace(HERE, gpu=gpu, compute_capability=capability)
    if fits:
        check_engine(engine, built, here)
        return
    with pytest.raises(AgentError, match="here is"):
        check_engine(engine, built, here)


@pytest.mark.parametrize(
    ("version", "fits"), [("10.16.2.10", True), ("11.4.1", True), ("10.3.0", False), ("12.0.0", False)]
)
def test_compatible_versions(engine: str, identity: EngineIdentity, version: str, fits: bool) -> None:
    built = replace(identity, settings={"version_compatible": True})
    if fits:
        check_engine(engine, built, replace(HERE, version=version))
        return
    with pytest.raises(AgentError, match="was built with"):
        check_engine(engine, built, replace(HERE, version=version))


def test_engines_built_for_capabilities_run_on_any_such_gpu(tmp_path: Path) -> None:
    path = tmp_path / "x.engine"
    path.write_bytes(plan_of("1.7.1.116", {}, b"vtrt"))
    built = EngineIdentity(
        "tensorrt-rtx", "1.7.1.116", "", ("8.6", "8.9"), MODEL, {}, sha256_of_file(path), 30, "strong"
    )
    check_engine(str(path), built, Machine("tensorrt-rtx", "1.7.1.116", "RTX 4070", "8.9"))
    with pytest.raises(AgentError, match=r"compute capability 8\.6 and 8\.9\), here is RTX 5090 \(12\.0\)"):
        check_engine(str(path), built, Machine("tensorrt-rtx", "1.7.1.116", "RTX 5090", "12.0"))


def test_names_follow_content(identity: EngineIdentity) -> None:
    others = [
        replace(identity, version="10.16.2.10"),
        replace(identity, gpu="Orin Nano"),
        replace(identity, model_sha256="b" * 64),
        replace(identity, settings={"tf32": False}),
        replace(identity, engine_sha256="c" * 64),
    ]
    names = {found.file_name for found in (identity, *others)}
    assert len(names) == 6
    assert identity.file_name.startswith("tensorrt-10.13.3.9-orin-")
    assert replace(identity, gpu="", compute_capabilities=("8.6", "12.0")).file_name.startswith(
        "tensorrt-10.13.3.9-sm86-sm120-"
    )
    assert replace(identity).file_name == identity.file_name


@pytest.mark.parametrize("value", [{}, {"product": "tensorrt"}, {"settings": 1}])
def test_records_that_are_not_whole(identity: EngineIdentity, value: dict[str, object]) -> None:
    broken = {**identity.to_json(), **value} if "settings" in value else value
    with pytest.raises(AgentError, match="not whole"):
        EngineIdentity.from_json(broken)
