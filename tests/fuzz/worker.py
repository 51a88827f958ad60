"""Loads damaged bundles in a process of its own, with little memory, and says how each case ended.

Called as `python -m tests.fuzz.worker ROOT SEED START STOP`. A line `begin N` before each case tells the parent
which one a process died of.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEMORY_BYTES = 6 << 30
ALLOWED_SIGNERS, IDENTITY = "allowed_signers", "fuzz@example.com"


class Watch:
    """Notes which files Python code opens outside of the bundle, where it has no business."""

    def __init__(self, root: Path) -> None:
        self._outside, self._bundle, self._scratch = root / "outside", root / "bundle", root / "tmp"
        self._is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        self.seen, self._is_on = [], True
        try:
            yield
        finally:
            self._is_on = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on or event not in {"open", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree"}:
            return
        name = arguments[0]
        if event != "open" and arguments[-1] != -1:
            return  # relative to an open directory, as rmtree removes what tempfile made
        if not isinstance(name, str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fspath(name))
        path = path.decode(errors="replace") if isinstance(path, bytes) else path
        is_ours = Path(path).is_relative_to(self._bundle) or Path(path).is_relative_to(self._scratch)
        is_writing = event != "open" or (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if Path(path).is_relative_to(self._outside) or (
            is_writing and not is_ours and not path.startswith("/dev/")
        ):
            self.seen.append(f"{event} {path}")


def loaders(root: Path) -> dict[str, Callable[[Path], str]]:
    """Return what reads bundles, by name; each returns a word about what came of it."""
    from hwnas.bundle.manifest import read_manifest
    from hwnas.bundle.runtime.runner import Runner
    from hwnas.bundle.signature import Trust
    from hwnas.bundle.verification.verify import verify_bundle
    from hwnas.latency.measure.protocol import MeasuringProtocol
    from hwnas.onnx_graphs.inspection import inspect_onnx
    from tests.bundle.small_lidar import FixedMeter

    cloud = np.fromfile(root / "scan.bin", "<f4").reshape(-1, 4)
    trust = Trust(root / ALLOWED_SIGNERS, IDENTITY)

    def manifest(bundle: Path) -> str:
        read_manifest(bundle)
        return "loaded"

    def signed(bundle: Path) -> str:
        read_manifest(bundle, trust=trust)
        return "loaded"

    def runner(bundle: Path) -> str:
        with Runner(bundle, precision="recommended") as run:
            labels = run(cloud).labels
        assert labels.shape == (len(cloud),)
        assert labels.dtype == np.uint8
        return "loaded"

    def inspect(bundle: Path) -> str:
        if (bundle / "model.onnx").is_symlink():
            return "refused"  # whoever names a file to be inspected means what its link leads to
        json.dumps(inspect_onnx(bundle / "model.onnx").to_json())
        return "loaded"

    def verify(bundle: Path) -> str:
        stated = read_manifest(bundle, check_files=False).content["latency"]
        with contextlib.suppress(KeyError, TypeError):  # as the command line does
            MeasuringProtocol.from_json(stated["protocol"])
        return "loaded" if verify_bundle(bundle, FixedMeter()).passed else "found wrong"

    return {"manifest": manifest, "signed": signed, "runner": runner, "inspect": inspect, "verify": verify}


def remember_installed() -> None:
    """Look only once for what is installed: half of the time of a case would go into that.

    Nothing is installed while the cases run, and bundles have no influence on it.
    """
    from hwnas.bundle import provenance

    provenance.version = functools.cache(provenance.version)


def outcome(load: Callable[[Path], str], bundle: Path) -> str:
    """Return `loaded`, `found wrong`, `refused`, or what went wrong that should not."""
    from hwnas.errors import HwnasError

    try:
        return load(bundle)
    except HwnasError as error:
        return "refused" if str(error).strip() else "error: it says nothing"
    except MemoryError:
        return "error: MemoryError"
    except Exception as error:  # noqa: BLE001 - which ones get through is what is being looked for
        return f"error: {type(error).__name__}: {str(error)[:300]}"


def main(root: Path, seed: int, start: int, stop: int) -> None:
    """Go through the cases, printing one line before and one after each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import torch

    from tests.fuzz.cases import apply, case_of

    torch.set_num_threads(1)
    remember_installed()
    reading = loaders(root)
    files = tuple(json.loads((root / "files.json").read_text()))
    bundle, watch = root / "bundle", Watch(root)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for number in range(start, stop):
        _say(f"begin {number}")
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(root / "pristine", bundle)
        case = case_of(seed, number, files)
        apply(case, seed, bundle)
        with watch.on(), contextlib.redirect_stdout(io.StringIO()):
            found = {name: outcome(load, bundle) for name, load in reading.items()}
        is_changed = _is_changed(bundle / case.file, root / "pristine" / case.file)
        ended = {"number": number, "found": found, "outside": watch.seen, "is_changed": is_changed}
        _say("end " + json.dumps(ended))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _is_changed(path: Path, before: Path) -> bool:
    """Return whether a file is another one now; what is done by chance may do nothing."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != before.stat().st_size:
        return True
    return path.read_bytes() != before.read_bytes()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(value) for value in sys.argv[2:5]))
