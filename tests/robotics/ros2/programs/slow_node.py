"""The node with a network that takes as long as the environment says, in seconds."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from hwnas.bundle.runtime.runner import Runner
from hwnas.robotics.ros2_node import main

quick = Runner.predict


def slow(runner: Runner, arrays: Any) -> Any:
    time.sleep(float(os.environ["SLOW_S"]))
    return quick(runner, arrays)


Runner.predict = slow  # type: ignore[method-assign]
sys.exit(main())
