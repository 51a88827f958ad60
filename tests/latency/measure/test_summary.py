"""From samples to figures by hand: medians, ratios, signs of disturbance and which attempt counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import MeasurementError
from hwnas.latency.measure.clocking import MODEL, OVER_LIMIT, PRECISE, Clocked
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE
from hwnas.latency.measure.session import Warmup
from hwnas.latency.measure.summary import Attempt, Subject, assess, calmest, disturbances, ratio_of, stated

PROTOCOL = MeasuringProtocol(min_samples=4, max_interval=10.0)
SUBJECT = Subject("local", {"device": "desk"}, PROTOCOL, "model", "reference")
SETTLED = Warmup(0.5, 10.0, (10.0, 10.0), is_settled=True, gave_up=False)
SPREAD_OF_9_TO_11 = 1.4826 * 1.0 / 10.0  # the median absolute deviation is 1


def clocked(model: object, reference: object = None, warmup: Warmup = SETTLED, **changes: object) -> Clocked:
    """Samples are [processes, rounds, samples of a round]."""
    samples = {MODEL: np.array(model, float)}
    if reference is not None:
        samples[REFERENCE] = np.array(reference, float)
    return Clocked(samples, dict.fromkeys(samples, (warmup,) * len(samples[MODEL])), PRECISE, **changes)


STEADY = clocked(np.full((2, 3, 4), 10.0), np.full((2, 3, 2), 4.0))
NINE_TO_ELEVEN = clocked([[[9, 10, 11]] * 3])


def test_figures_of_a_steady_run() -> None:
    found = assess(STEADY, SUBJECT)
    measurement = found.measurement
    assert (found.disturbance, found.is_final, found.throttling) == (0.0, True, ())
    assert (measurement.latency_ms, measurement.interval_ms) == (10.0, (10.0, 10.0))
    assert (measurement.ratio, measurement.ratio_interval) == (2.5, (2.5, 2.5))
    assert (measurement.is_stable, measurement.remark, measurement.ended) == (True, "", PRECISE)
    assert (measurement.samples_ms, measurement.block_samples) == (((10.0,) * 12,) * 2, 4)
    assert measurement.warmup_s == (0.5, 0.5)
    reference = measurement.reference
    assert reference is not None
    assert (reference.sha256, reference.latency_ms, reference.interval_ms) == ("reference", 4.0, (4.0, 4.0))
    assert (reference.samples_ms, reference.block_samples) == (((4.0,) * 6,) * 2, 2)


def test_without_a_reference_there_is_no_ratio() -> None:
    found = assess(clocked(np.full((1, 2, 4), 10.0)), replace(SUBJECT, best_reference_ms=1.0))
    assert (found.measurement.ratio, found.measurement.reference, found.is_final) == (None, None, True)
    assert found.measurement.is_stable


def sizes(run: Clocked, subject: Subject = SUBJECT, **limits: float) -> dict[str, float]:
    """Return the sizes of the signs of disturbance by their first word that is no number."""
    subject = replace(subject, protocol=replace(PROTOCOL, **limits))
    names = {"robust": "spread", "still": "warm-up", "interval": "interval", "the": "reference"}
    return {
        names.get(text.split()[0], "slow"): size
        for size, text in disturbances(run, subject, MODEL, REFERENCE)
    }


def test_the_size_of_a_sign_is_its_share_of_what_is_calm() -> None:
    assert sizes(NINE_TO_ELEVEN, max_spread=0.05)["spread"] == pytest.approx(SPREAD_OF_9_TO_11 / 0.05)
    one_of_four_slow = clocked([[[10, 10, 10, 15.1]]])
    assert sizes(one_of_four_slow, max_slow_share=0.1)["slow"] == pytest.approx(2.5)
    assert sizes(one_of_four_slow, max_slow_share=0.0)["slow"] > 1
    assert sizes(clocked([[[10, 10, 10, 15.0]]]), max_slow_share=0.0)["slow"] == 0.0


def test_the_spread_is_that_within_a_process() -> None:
    """Processes that differ are no disturbance; what one of them scatters is."""
    apart = clocked([[[10] * 4], [[12] * 4]])
    assert sizes(apart)["spread"] == 0.0
    scattering = clocked([[[10] * 3], [[9, 10, 11]]])
    assert sizes(scattering, max_spread=0.1)["spread"] == pytest.approx(SPREAD_OF_9_TO_11 / 0.1)


def test_a_reference_slower_than_its_best_is_a_sign() -> None:
    subject = replace(SUBJECT, best_reference_ms=3.2)  # 4 ms are a quarter more
    assert sizes(STEADY, subject, max_slowdown=0.25)["reference"] == pytest.approx(1.0)
    assert sizes(STEADY, subject, max_slowdown=0.5)["reference"] == pytest.approx(0.5)
    assert "reference" not in sizes(STEADY)
    texts = [text for _, text in disturbances(STEADY, subject, MODEL, REFERENCE)]
    assert "the reference network took 25% longer than at its best on this target" in texts


def test_the_interval_of_the_ratio_is_a_sign() -> None:
    alternating = clocked([[[10] * 4, [12] * 4] * 3] * 2, np.full((2, 6, 2), 4.0))
    ratio, interval = ratio_of(alternating, MODEL, REFERENCE, PROTOCOL)
    assert ratio == pytest.approx(2.75)
    assert interval is not None
    width = max(ratio - interval[0], interval[1] - ratio) / ratio
    assert width > 0.05
    assert sizes(alternating, max_interval=0.05)["interval"] == pytest.approx(width / 0.05)


def test_a_warm_up_that_had_not_settled_is_a_sign_unless_one_inference_took_it_all() -> None:
    changing = replace(SETTLED, is_settled=False)
    assert sizes(clocked([[[10] * 4]], warmup=changing))["warm-up"] == 2.0
    assert "warm-up" not in sizes(clocked([[[10] * 4]], warmup=replace(changing, window_ms=(10.0,))))
    one_of_two = replace(STEADY, warmups={MODEL: (SETTLED, changing), REFERENCE: (SETTLED, SETTLED)})
    assert "warm-up" in sizes(one_of_two)


@pytest.mark.parametrize(("max_spread", "is_calm"), [(SPREAD_OF_9_TO_11, True), (0.148, False)])
def test_what_is_just_allowed_is_calm(max_spread: float, is_calm: bool) -> None:
    subject = replace(SUBJECT, protocol=replace(PROTOCOL, max_spread=max_spread))
    found = assess(NINE_TO_ELEVEN, subject)
    assert found.disturbance == pytest.approx(SPREAD_OF_9_TO_11 / max_spread)
    assert (found.is_final, found.measurement.is_stable) == (is_calm, is_calm)
    assert ("robust spread of the samples 14.8%" in found.measurement.remark) == (not is_calm)


def test_what_throttled_is_not_final_however_calm() -> None:
    found = assess(replace(STEADY, throttling=("hot",)), SUBJECT)
    assert (found.disturbance, found.is_final, found.throttling) == (0.0, False, ("hot",))


@pytest.mark.parametrize(("limit_s", "max_s", "said"), [(10.0, 2.5, "10 s"), (2.0, 2.5, "2.5 s")])
def test_too_few_samples_are_said_and_not_tried_again(limit_s: float, max_s: float, said: str) -> None:
    protocol = replace(PROTOCOL, min_samples=25, limit_s=limit_s, max_s=max_s)
    found = assess(STEADY, replace(SUBJECT, protocol=protocol))
    assert (found.is_final, found.measurement.is_stable) == (True, False)
    assert found.measurement.remark == f"24 samples in {said}, wished 25"
    enough = assess(STEADY, replace(SUBJECT, protocol=replace(protocol, min_samples=24)))
    assert enough.measurement.remark == ""


def test_what_was_given_up_is_final_and_says_only_that() -> None:
    unsteady = replace(NINE_TO_ELEVEN, ended=OVER_LIMIT, throttling=("hot",))
    found = assess(unsteady, replace(SUBJECT, give_up_over_ms=5.0))
    assert found.is_final
    assert not found.measurement.is_stable
    assert found.measurement.remark == "given up after 9 samples: clearly over the limit of 5 ms"


def test_a_single_round_knows_its_ratio_only_as_far_as_samples_span() -> None:
    single = clocked([[[9, 10, 12]]], [[[4, 5]]])
    assert ratio_of(single, MODEL, REFERENCE, PROTOCOL) == (
        pytest.approx(10 / 4.5),
        (pytest.approx(9 / 5), pytest.approx(12 / 4)),
    )
    assert ratio_of(single, MODEL, "other", PROTOCOL) == (None, None)


def attempt(disturbance: float, *, is_final: bool = False, throttling: tuple[str, ...] = ()) -> Attempt:
    steady = assess(STEADY, SUBJECT).measurement
    measurement = replace(steady, latency_ms=disturbance, interval_ms=(0.05, 10.0), remark="noisy")
    return Attempt(measurement, disturbance, is_final, throttling)


def test_the_calmest_attempt_counts_and_never_one_that_throttled() -> None:
    assert calmest([attempt(3.0), attempt(2.0), attempt(2.5)]) == 1
    assert calmest([attempt(1.5), attempt(9.0, is_final=True)]) == 1
    assert calmest([attempt(0.1, throttling=("hot",)), attempt(3.0)]) == 1
    with pytest.raises(MeasurementError, match=r"all 2 did \(cold\)"):
        calmest([attempt(0.1, throttling=("hot",)), attempt(0.1, throttling=("cold",))])


def test_a_stated_attempt_names_the_others() -> None:
    found = stated([attempt(3.0), attempt(2.0), attempt(2.5)], 1)
    assert (found.latency_ms, found.attempts) == (2.0, 3)
    assert [(each.latency_ms, each.ratio, each.remark) for each in found.other_attempts] == [
        (3.0, 2.5, "noisy"),
        (2.5, 2.5, "noisy"),
    ]
    assert found.remark == "noisy (the calmest of 3 attempts)"
    assert stated([attempt(3.0), attempt(2.0, is_final=True)], 1).remark == "noisy"
    alone = stated([attempt(3.0)], 0)
    assert (alone.remark, alone.attempts, alone.other_attempts) == ("noisy", 1, ())
