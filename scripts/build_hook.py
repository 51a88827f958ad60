"""What a wheel holds beside the Python sources: shipped latency tables and a compiled kernel.

The kernel of projection and k-NN is compiled where there is a C++ compiler. Without one the package is built
without it, and numpy does its work. Set HWNAS_BUILD_KERNEL to `0` to leave it out, or to `1` to fail where it
cannot be built. CXX names the compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("export/cpp/range_view.cpp")
LIBRARY = Path("hwnas/range_view/range_view.so")
# A fused multiply-add would round otherwise than numpy.
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")


TABLES = {"latency_tables": "hwnas/latency_tables"}


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Adds tables, and the library; with it the wheel is one for this platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, or say why not."""
        if version == "standard":
            # An editable installation finds them in the checkout.
            build_data["force_include"].update(TABLES)
        wanted = os.environ.get("HWNAS_BUILD_KERNEL", "")
        if wanted == "0":
            (Path(self.root) / LIBRARY).unlink(missing_ok=True)
            return
        problem = self._compile()
        if problem and wanted == "1":
            raise RuntimeError(problem)
        if problem:
            self.app.display_warning(f"Building without the compiled kernel: {problem}")
            return
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _compile(self) -> str:
        """Return what kept the library from being made; empty if nothing did."""
        root = Path(self.root)
        library = root / LIBRARY
        library.unlink(missing_ok=True)
        compiler = shutil.which(os.environ.get("CXX", "c++"))
        if compiler is None:
            return "there is no C++ compiler; install one, such as g++, or name it in CXX."
        partial = library.with_suffix(f".{os.getpid()}.partial")
        command = [compiler, *FLAGS, "-o", str(partial), str(root / SOURCE)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            partial.unlink(missing_ok=True)
            return f"{' '.join(command)} failed: {found.stderr.strip()[-2000:]}"
        partial.replace(library)
        return ""
