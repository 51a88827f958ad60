"""Labels points with a bundle and `hwnas.bundle.runtime`: BUNDLE POINTS.npy PRECISION LABELS.npy."""

import sys

import numpy as np
import onnxruntime

from hwnas.bundle.runtime.runner import Runner

bundle, points, precision, labels = sys.argv[1:]
with Runner(bundle, precision=precision) as runner:
    np.save(labels, runner(np.load(points)).labels)
assert "torch" not in sys.modules
sys.stdout.write(onnxruntime.__version__)
