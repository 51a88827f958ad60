import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.errors import ArchitectureError
from hwnas.io_spec import dense_logits

LOGITS = [{"name": "logits", "channels": 8, "stride": 1}]

genes = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.one_of(
        st.booleans(), st.integers(-1000, 1000), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    max_size=6,
)


@given(genes)
def test_json_round_trip_is_exact(genes: dict) -> None:
    architecture = Architecture("space", genes, (5, 64, 512), dense_logits(8))
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert again.id == architecture.id
    assert again.to_json() == architecture.to_json()


@given(genes, st.randoms())
def test_order_of_genes_does_not_matter(genes: dict, random) -> None:
    items = list(genes.items())
    random.shuffle(items)
    assert Architecture("s", dict(items), (1, 1, 1), dense_logits(1)) == Architecture(
        "s", genes, (1, 1, 1), dense_logits(1)
    )


def test_id_is_the_same_in_another_process() -> None:
    program = (
        "from hwnas.architecture import Architecture; from hwnas.io_spec import dense_logits;"
        "print(Architecture('s', {'b': 2, 'a': 'x'}, (5, 64, 512), dense_logits(8)).id)"
    )
    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (
        other.stdout.strip()
        == Architecture("s", {"a": "x", "b": 2}, (5, 64, 512), dense_logits(8)).id
        == "372c28baea582a63"
    )


def test_is_immutable_and_travels_between_processes() -> None:
    architecture = Architecture("s", {"a": 1}, (5, 64, 512), dense_logits(8))
    with pytest.raises(TypeError):
        architecture.genes["a"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError):
        architecture.space = "t"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(architecture)) == architecture


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"space": "s", "genes": {}, "input_shape": [5, 64, 512], "outputs": LOGITS, "more": 1},
        {"space": "s", "genes": {"a": [1]}, "input_shape": [5, 64, 512], "outputs": LOGITS},
        {"space": "s", "genes": {}, "input_shape": [5, 64], "outputs": LOGITS},
        {"space": "s", "genes": {}, "input_shape": [5, 64, "wide"], "outputs": LOGITS},
        {"space": "s", "genes": {}, "input_shape": [5, 64, 512], "outputs": []},
        {"space": "s", "genes": {}, "input_shape": [5, 64, 512], "outputs": LOGITS * 2},
        {"space": "s", "genes": {}, "input_shape": [5, 64, 512], "outputs": [{**LOGITS[0], "stride": 0}]},
        {"space": 3, "genes": {}, "input_shape": [5, 64, 512], "outputs": LOGITS},
    ],
)
def test_what_is_no_architecture_is_refused(value: object) -> None:
    with pytest.raises(ArchitectureError):
        Architecture.from_json(value)  # type: ignore[arg-type]
