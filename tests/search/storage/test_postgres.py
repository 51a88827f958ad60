"""Studies in a real PostgreSQL server, whose connections are cut."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.objectives import Objectives
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory
from hwnas.search.strategies import distributions_of
from hwnas.search.study import SearchStudy
from hwnas.testing.strategy_suite import GridSpace
from tests.postgres_server import PostgresServer, why_not

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not()), pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def place_of(server: PostgresServer, name: str, **settings: float):
    from hwnas.search.storage.database import DatabasePlace

    return DatabasePlace(server.address, name, **settings)


def play(study: SearchStudy, rounds: int) -> dict[int, float]:
    """Ask and tell, and return the error that was told for each trial."""
    reported = {}
    for index in range(rounds):
        trial, choices = study.ask(distributions_of(GridSpace()))
        study.describe(trial, GridSpace().decode(choices))
        error = 1 / (2 + index)
        study.tell_trained(
            trial,
            error=error,
            measurements={"latency_ms": 1.0 + index},
            objectives=Objectives(),
            elapsed_s=index,
        )
        reported[trial.number] = error
    return reported


def assert_told_once(study: SearchStudy, reported: dict[int, float]) -> None:
    found = {trial.number: trial.error for trial in study.summaries() if trial.is_trained}
    assert found == reported
    assert {trial.state for trial in study.summaries()} <= {"COMPLETE", "FAIL"}


@pytest.mark.usefixtures("tiny_plugin", "forked_workers")
def test_a_search_in_a_database_writes_no_password_and_can_be_resumed(
    server: PostgresServer, write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(storage=server.address, search__trials=2)
    run = RunDirectory(tmp_path / "out")
    first = search(load_config(path), run.path)
    assert first.to_json()["trained"] == 2
    assert not run.study_journal.exists()
    written = b"".join(file.read_bytes() for file in run.path.rglob("*") if file.is_file())
    dumped = str(server.query("SELECT value_json FROM study_user_attributes")).encode()
    for content in (written, dumped, repr(load_config(path)).encode()):
        assert b"postgres@127.0.0.1" in content
        assert server.password.encode() not in content

    recorded = run.load_config()
    assert (recorded.storage, recorded.study) == (server.address_without_password, "out")
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(StudyError, match="password authentication failed"):
        search(recorded, run.path, resume=True)
    monkeypatch.setenv("PGPASSWORD", server.password)
    more = search(recorded.model_copy(update={"search": _with_trials(recorded, 3)}), run.path, resume=True)
    assert more.to_json()["trained"] == 3
    assert more.front["trials"][:2] == first.front["trials"]
    dashboard = optuna.load_study(study_name="out", storage=server.address)
    assert [trial.state for trial in dashboard.trials] == [TrialState.COMPLETE] * 3

    other = RunDirectory(tmp_path / "other")
    with pytest.raises(StudyError, match=r"study 'out' in .* is there already"):
        search(recorded, other.path)
    with pytest.raises(StudyError, match="holds no study"):
        search(recorded.model_copy(update={"study": "lost"}), run.path, resume=True)


def _with_trials(config, trials: int):
    return config.search.model_copy(update={"trials": trials})


HOLDER = """\
import os, sys, time
from hwnas.search.storage.database import DatabasePlace
with DatabasePlace(sys.argv[1], sys.argv[2]).held():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_driver_is_refused_until_the_first_is_dead(server: PostgresServer) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, server.address, "held"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    place = place_of(server, "held")
    refusal = rf"process {holder.pid} on {os.uname().nodename} since 20.* UTC.* expires in \d+ s"
    with pytest.raises(StudyError, match=refusal), place.held():
        pass
    with place_of(server, "another").held():
        pass
    holder.kill()
    holder.wait()
    with place.held():
        assert server.query("SELECT pid FROM hwnas_drivers WHERE study = 'held'") == [(os.getpid(),)]
    assert server.query("SELECT pid FROM hwnas_drivers WHERE study = 'held'") == []


def test_a_lease_of_another_machine_expires_and_its_holder_can_write_no_more(
    server: PostgresServer,
) -> None:
    first, second = place_of(server, "moved"), place_of(server, "moved")
    with first.held():
        study = SearchStudy(first)
        reported = play(study, 1)
        server.query("UPDATE hwnas_drivers SET machine = 'far away', expires = now() + interval '9 s'")
        with pytest.raises(StudyError, match=r"expires in [89] s"), second.held():
            pass
        server.query("UPDATE hwnas_drivers SET expires = now() - interval '1 s'")
        with second.held():
            with pytest.raises(StudyError, match="another process has taken over"):
                play(study, 1)
            other = SearchStudy(second)
            assert_told_once(other, reported)
            other.close()
        study.close()


@pytest.mark.usefixtures("tiny_plugin", "forked_workers")
def test_studies_of_several_rungs_share_a_database(server: PostgresServer, write_run, tmp_path: Path) -> None:
    place = place_of(server, "rungs")
    with place.held():
        study = SearchStudy(place)
        below = study.beside("rung-1")
        reported = play(below, 3)
        below.close()
        assert_told_once(below, reported)
        assert study.summaries() == []
        study.close()
    again = SearchStudy(place)
    assert_told_once(again.beside("rung-1"), reported)
    again.close()
    # A new run does not go on with what another one left there, on whatever rung.
    changes = {"search__fidelities": {"steps": [2]}, "search__trials": 3}
    config = load_config(write_run(storage=server.address, study="rungs", **changes))
    with pytest.raises(StudyError, match=r"study 'rungs' in .* is there already"):
        search(config, tmp_path / "out")


def test_cut_connections_cost_no_trial_and_count_none_twice(server: PostgresServer) -> None:
    place = place_of(server, "cut")
    chance = random.Random(os.getpid())
    cuts = 0

    def cut(*_details: object) -> None:
        """Before a statement or a commit, now and then."""
        nonlocal cuts
        if chance.random() < 0.04:
            cuts += server.cut_connections()

    with place.held():
        study = SearchStudy(place)
        engine = study._storage._backend._backend.engine
        event.listen(engine, "before_cursor_execute", cut)
        event.listen(engine, "commit", cut)
        reported = play(study, 10)
        event.remove(engine, "before_cursor_execute", cut)
        event.remove(engine, "commit", cut)
        assert cuts > 3
        assert study._storage.num_retries > 0
        assert_told_once(study, reported)
        study.close()


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_of_unknown_outcome_is_settled(server: PostgresServer, *, is_committed: bool) -> None:
    place = place_of(server, f"unknown-{is_committed}")
    with place.held():
        study = SearchStudy(place)
        backend = study._storage._backend
        failing = []

        def broken(operation):
            def lost(*arguments, **named):
                if not failing:
                    return operation(*arguments, **named)
                failing.pop()
                if is_committed:
                    operation(*arguments, **named)
                reason = OperationalError("COMMIT", {}, Exception("server closed the connection"))
                raise StorageInternalError("lost") from reason

            return lost

        for name in ("create_new_trial", "set_trial_state_values", "set_trial_param", "set_trial_user_attr"):
            real = getattr(backend, name)
            setattr(backend, name, broken(real))
            failing.append(name)
            play(study, 1)
            setattr(backend, name, real)
            assert failing == []
        states = [trial.state for trial in study.summaries()]
        assert states.count("COMPLETE") == 4
        assert states.count("FAIL") == (1 if is_committed else 0)
        assert all("database was lost" in t.failure.reason for t in study.summaries() if t.state == "FAIL")
        study.close()


def test_a_server_that_comes_back_is_waited_for_and_one_that_does_not_ends_the_search(
    server: PostgresServer,
) -> None:
    patient, hasty = place_of(server, "restarted"), place_of(server, "gone", patience_s=1.0)
    with patient.held(), hasty.held():
        study, other = SearchStudy(patient), SearchStudy(hasty)
        reported, kept = play(study, 2), play(other, 2)
        server.stop("immediate")
        started = time.monotonic()
        with pytest.raises(StudyError, match=r"did not come back within 1 s .*--resume"):
            play(other, 1)
        with pytest.raises(StudyError, match="did not come back"):
            play(other, 1)
        assert time.monotonic() - started < 30
        back = threading.Timer(1.0, server.start)
        back.start()
        more = play(study, 2)
        back.join()
        assert_told_once(study, {**reported, **more})
        study.close()
        other.close()
    again = SearchStudy(place_of(server, "gone"), read_only=True)
    assert {trial.number: trial.error for trial in again.summaries() if trial.is_trained} == kept
    again.close()


def test_an_unreachable_server_and_a_missing_study_are_named(server: PostgresServer) -> None:
    from hwnas.search.storage.database import DatabasePlace

    place = DatabasePlace(f"postgresql://someone:secret@127.0.0.1:{server.port}/postgres", "x")
    with pytest.raises(StudyError, match="password authentication failed") as refused, place.held():
        pass
    assert "secret" not in str(refused.value)
    with pytest.raises(StudyError, match="holds no study"):
        SearchStudy(place_of(server, "missing"), read_only=True)


@pytest.mark.parametrize("password", ["a/b#c?d", "%41 {x} +é", "p@:/?#&=%"])
@pytest.mark.parametrize("form", ["user:{0}@", "query", "escaped key"])
def test_passwords_with_special_characters_connect_and_are_not_shown(
    server: PostgresServer, password: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.config.run_file import parse_config, save_config
    from hwnas.search.storage.database import DatabasePlace

    monkeypatch.delenv("PGPASSWORD", raising=False)
    role = f"someone{abs(hash((password, form)))}"
    literal = password.replace("%", "%%")
    server.query(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{literal}'")
    escaped, place = quote(password, safe=""), f"127.0.0.1:{server.port}/postgres"
    address = {
        "user:{0}@": f"postgresql://{role}:{escaped}@{place}",
        "query": f"postgresql://{role}@{place}?password={escaped}",
        "escaped key": f"postgresql+psycopg://{role}@{place}?pass%77ord={escaped}&connect_timeout=5",
    }[form]
    config = parse_config({"storage": address})
    opened = DatabasePlace(config.storage, role)
    with opened.held(), opened.opened(read_only=False) as storage:
        assert storage.get_all_studies() is not None
    save_config(config, tmp_path / "run.yaml")
    shown = str(opened) + repr(config) + (tmp_path / "run.yaml").read_text(encoding="utf-8")
    assert password not in shown
    assert escaped not in shown
    # The recorded address finds the password where libpq looks for it, and says so where it does not.
    recorded = DatabasePlace(load_config(tmp_path / "run.yaml").storage, role)
    with pytest.raises(StudyError, match="no password supplied"), recorded.held():
        pass
    monkeypatch.setenv("PGPASSWORD", password)
    with recorded.held():
        pass
