"""A commented run file to start from: every setting with its default."""

from __future__ import annotations

from pathlib import Path

from hwnas.config.run_file import load_config
from hwnas.errors import ConfigError
from hwnas.files import write_bytes_atomically

TEMPLATE = """\
# What hwnas searches for, on what data, for which hardware. Everything but task.data has a
# default, shown here; remove what you do not change. Unknown keys are errors.

schema_version: 1   # of the format of this file

task:
  name: lidar-segmentation
  # A SemanticKITTI directory, a directory with a dataset.yaml, or such a file. Paths count from
  # this file. `hwnas data synthesize data --scans 60` makes one to begin with.
  data: ./data
  pretraining_data: null   # further labelled scans, such as synthetic ones, that a training may begin with
  label_map: null          # a name or a file; null is the data set's own
  train_sequences: null    # null: those of the data set
  val_sequences: null
  train_subset: null       # or {scans: ["00/000004"], azimuths_deg: [[-60, 60]]}: only these, only there
  val_subset: null
  strict: false            # refuse points that are NaN or infinite instead of dropping them
  height: null             # rows of the range image; null: one for each beam of the sensor
  widths: [256, 512, 1024, 2048]   # columns of the range image that a search may choose from
  projection:              # how points become an image
    method: null           # ring: a row for each beam; spherical: by elevation; null: what fits the sensor
    fov_up_deg: null       # field of view, degrees; null: that of the sensor's table, or of the data
    fov_down_deg: null
    beams_deg: null        # elevations of the beams, the top one first; null: measured, or of the table
  knn: {k: 5, window: 5, sigma: 1.0, cutoff_m: 1.0}   # how pixels give their labels to points
  normalisation: null      # {mean: [...], std: [...]} of range, x, y, z, remission; null: of the data
  cache_mb: 2048           # memory for scans that training keeps

space:
  name: range-unet
  # Genes that may take only some of their values, for instance
  # `choices: {input_width: [512, 1024], activation: [relu]}`.
  choices: {}

# Where the networks are to run.
target: local?backend=onnxruntime-cpu&threads=1

# What is minimised beside the error: latency_ms (the network alone), e2e_ms (scan to labels), p99_ms@10hz,
# energy_mj, peak_memory_mb, ...; auto is e2e_ms if input widths are searched and it can be measured.
objective: auto

budget:
  # Hard limits: a candidate over one is measured, but never trained. null for none.
  objective: null        # on the objective, in its unit
  latency_ms: null       # on the network alone, milliseconds
  constraints: []        # on any metric, such as "p99_ms@10hz <= 40" or "parameters_m <= 5"

# Where the study lies: journal, a file in the directory of the run, or the address of a PostgreSQL
# database, postgresql+psycopg://user@host:5432/database, for drivers on several machines.
storage: journal
study: null              # its name in a database; null: that of the directory of the run

search:
  strategy: surrogate    # or random, quasi-random, tpe, nsga2, nsga3, gp, evolution, reinforce, gradient
  trials: 50             # candidates to be trained; those over the budget come on top
  timeout_min: null      # start no further candidate after this time
  candidate_timeout_min: null  # give up a candidate that takes longer
  seed: 0
  estimator: training    # or {name: weight-sharing, supernet: ./DIR}, see `hwnas supernet`
  estimator_report: null  # directory where `hwnas estimate` found out how well the estimator ranks
  prescreening: null     # or {networks: 10000, train_best: 100, train_full: 5}: predict many networks, train
                         # the best of them as further candidates, and the best of all in full
  first_estimator: null  # with prescreening, what evaluates the candidates that it learns from, if not the
                         # same: {name: training, steps: 20} or {name: weight-sharing, supernet: ./DIR}
  fidelities: null       # or {steps: [20, 60], reduction_factor: 3}: train all candidates for 20 steps, one
                         # in 3 for 60, and one in 3 of these for the steps below; `trials` counts the
                         # shortest
  warm_start: []         # directories of earlier runs, whose fronts are tried first
  learn_from: []         # directories of earlier runs, from whose errors `surrogate` learns
  initial_architectures: null  # in the space nas-cell: a file with one cell per line, tried first
  workers: null          # null: one for every `threads_per_worker` cores
  threads_per_worker: 1
  executor: local        # workers on this machine, or {name: ray, address: "head:6379"}: of a Ray cluster

training:
  device: auto           # auto (the fastest there is), cpu, mps, cuda or cuda:N
  trainer: supervised    # or one of a plug-in
  proxy:                 # training of every candidate
    steps: 200
    pretraining_steps: 0   # of them on the task's pretraining_data
    pretraining_share: 0.0 # share of later samples that still comes from there
    batch_size: 2
    learning_rate: 0.002
    weight_decay: 0.01
    cross_entropy: 1.0   # weights of the parts of the loss
    lovasz: 1.0
    augmentation: 1.0    # 0 none to 1 full
    gradient_clip: 1.0
    optimizer: adamw
    mixed_precision: auto
    average: 0.95        # decay of the moving average of the weights, 0 for none
    workers: 0           # processes that prepare samples
    checkpoint_every: 200
  full:                  # training by `hwnas train`, for members of the front; same settings, and
    steps: 1800
    average: 0.99
    pick: all            # all, knee, or a number: spread over the front, then the next best

measuring:
  # Changes to the measuring protocol, such as `max_s: 10`.
  search: {}             # for candidates
  # For members of the front; with `options` of the backend in place of the search's (such as
  # `options: {optimization_level: 5}`) and `builds` of each engine, of which the fastest is kept.
  final: {}
  table: auto            # latency table that spares measuring what is far over a limit: a file, auto for that
                         # of the target in latency_tables/, or null
"""


def write_run_file(directory: str | Path) -> Path:
    """Write a commented `run.yaml` to start from, and return its path.

    Args:
        directory: the directory where the file goes; made if missing.

    Raises:
        ConfigError: if there is one already.
    """
    path = Path(directory) / "run.yaml"
    if path.exists():
        raise ConfigError(f"{path} exists already; remove it or choose another directory.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, TEMPLATE.encode("utf-8"))
    load_config(path)
    return path
