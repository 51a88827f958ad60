from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys, json, torch
from dataclasses import replace
from pathlib import Path
from accelerate import Accelerator
from hwnas.training.trainer import train
from tests.training.test_trainer import RECIPE
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
torch.set_num_threads(1)
directory = Path(sys.argv[1])
losses = []
module = train(TinyTask(), TinySpace(), ARCHITECTURE, RECIPE, seed=0, directory=directory / "run",
               progress=lambda step, steps, loss: losses.append(loss))
rank = Accelerator(mixed_precision="no").process_index
total = sum(float(value.double().sum()) for value in module.state_dict().values())
(directory / f"{rank}.json").write_text(json.dumps({"losses": losses, "sum": total}))
"""


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    # `accelerate launch` starts several CPU processes only through MPI; it uses torchrun for GPUs.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(script), str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    result = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert len(first["losses"]) == 10
    assert (tmp_path / "run" / "weights.safetensors").is_file()
