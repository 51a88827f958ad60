"""Runs an agent: `python -m hwnas.latency.agent`."""

from __future__ import annotations

import sys

from hwnas.latency.agent.server import main

sys.exit(main())
