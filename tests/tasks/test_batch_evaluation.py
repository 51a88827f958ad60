import numpy as np
import pytest

from hwnas.metrics.confusion import mean_iou
from hwnas.tasks.batch_evaluation import Evaluation, PointTally, evaluate_together
from tests.bundle.small_lidar import SmallSpace, SmallTask


def test_points_are_counted_by_distance() -> None:
    tally = PointTally(2)
    range_m = np.array([1.0, 19.9, 20.0, 39.9, 40.0, 90.0])
    truth = np.array([0, 1, 0, 1, 255, 255], np.uint8)
    predicted = np.array([0, 1, 1, 1, 0, 255], np.uint8)
    tally.add(truth, predicted, np.array([0, 1, 0, 1, 0, 255], np.uint8), range_m)
    # At 20 to 40 m class 0 is missed (IoU 0), class 1 is found once and wrongly taken once (1/2).
    assert tally.bands() == {"0-20 m": 1.0, "20-40 m": pytest.approx(0.25), "40+ m": None}
    assert tally.matrix.tolist() == [[1, 1], [0, 2]]
    assert mean_iou(tally.matrix) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert tally.same_decision_share == pytest.approx(5 / 6)


def test_tasks_without_a_pass_of_their_own_are_evaluated_one_by_one() -> None:
    task = SmallTask({})
    architecture = SmallSpace(task.contract, {}).decode({"width": 4})
    shape = task.io_spec(architecture).outputs[0].shape

    def always(label: int):
        logits = np.zeros(shape, np.float32)
        logits[:, label] = 1.0
        return lambda _: {"logits": logits}

    found = evaluate_together(task, {"a": always(0), "b": always(1)}, architecture, reference="a", limit=1)
    assert found["a"].same_decision_share == 1.0
    assert found["b"].same_decision_share == 0.0
    assert found["a"].quality.value != found["b"].quality.value
    assert Evaluation.from_json(found["b"].to_json()) == found["b"]
