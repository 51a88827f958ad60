"""Confusion matrices and intersection over union, as the SemanticKITTI benchmark defines them.

One matrix is pooled over all points of a data set (the sum of the matrices of its scans); IoU is
taken from the pooled matrix, never averaged over scans (Behley et al., ICCV 2019, section 4).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.labels import IGNORED_LABEL


def confusion_matrix(
    truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], num_classes: int
) -> npt.NDArray[np.int64]:
    """Count how often each class was taken for each class.

    Args:
        truth: true classes, any shape; elements of 255 are left out.
        predicted: predicted classes, same shape, 0..num_classes-1 wherever `truth` is not 255.
        num_classes: number of classes K.

    Returns:
        [K, K] counts: row = truth, column = prediction. Matrices of several scans add up.

    Raises:
        ValueError: if the shapes differ or a class is outside 0..K-1.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape} and predicted {predicted.shape}; expected the same.")
    counted = truth != IGNORED_LABEL
    true_classes = truth[counted].astype(np.int64)
    predicted_classes = predicted[counted].astype(np.int64)
    for name, classes in (("truth", true_classes), ("predicted", predicted_classes)):
        if classes.size and not (classes.min() >= 0 and classes.max() < num_classes):
            raise ValueError(
                f"{name} holds classes {classes.min()}..{classes.max()}; expected 0..{num_classes - 1}"
                + (" or 255 for ignored." if name == "truth" else " wherever the truth is not 255.")
            )
    counts = np.bincount(true_classes * num_classes + predicted_classes, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64, copy=False)


def iou_per_class(matrix: npt.NDArray[np.int64]) -> tuple[float | None, ...]:
    """Return TP / (TP + FP + FN) of every class; None where the ground truth has no such class.

    A class that is absent from the ground truth is not a class with IoU 0: nothing could be found.
    What was taken for it still counts as missed by the classes it belongs to.
    """
    true_positives = np.diag(matrix)
    in_truth = matrix.sum(axis=1)
    union = in_truth + matrix.sum(axis=0) - true_positives
    return tuple(
        float(hit / all_) if present else None
        for hit, all_, present in zip(true_positives, union, in_truth > 0, strict=True)
    )


def mean_iou(matrix: npt.NDArray[np.int64]) -> float:
    """Return the mean IoU over the classes that the ground truth holds, 0..1.

    Raises:
        ValueError: if the ground truth holds no class at all.
    """
    present = [value for value in iou_per_class(matrix) if value is not None]
    if not present:
        raise ValueError("The confusion matrix counts no point: every point was ignored, or none was given.")
    return float(np.mean(present))
