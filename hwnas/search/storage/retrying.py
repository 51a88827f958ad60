"""An Optuna storage that outlives lost connections, and does nothing twice.

When a connection breaks, nobody knows whether the last transaction was committed. Every operation is
therefore repeated in a way that gives the same result either way: values and attributes are simply set
again; a trial that turns out to be finished must be finished as asked; a trial that was opened without our
hearing of it is told as failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from typing import Any, ParamSpec, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from hwnas.errors import StudyError
from hwnas.search.failure import CUT_OFF

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0

P = ParamSpec("P")
R = TypeVar("R")


class RetryingStorage(BaseStorage):
    """Repeats what a lost connection interrupted, for a bounded time.

    Made for the only process that writes the study. `num_retries` counts what had to be repeated.

    Args:
        backend: the storage.
        patience_s: how long an operation is tried again, in seconds. Once that was in vain, later operations
            are tried once, so that a driver ends soon.
    """

    def __init__(self, backend: BaseStorage, *, patience_s: float) -> None:
        """Wrap a storage."""
        self._backend = backend
        self._patience_s = patience_s
        self._next_numbers: dict[int, int] = {}
        self.num_retries = 0

    def _retried(self, operation: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        deadline = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return operation(*args, **kwargs)
            except (StorageInternalError, SQLAlchemyError) as error:
                if not _is_of_the_connection(error):
                    raise StudyError(f"The database refused a record: {reason_of(error)}.") from error
                if time.monotonic() + pause_s > deadline:
                    waited_s, self._patience_s = self._patience_s, 0.0
                    raise StudyError(
                        f"The database was lost and did not come back within {waited_s:g} s "
                        f"({reason_of(error)}). What was told is kept: go on with `Run.search` or "
                        "`hwnas search RUN --resume`."
                    ) from error
            self.num_retries += 1
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Open a trial; those that were opened unheard by a lost connection are told as failed."""
        if study_id not in self._next_numbers:
            self._next_numbers[study_id] = len(self.get_all_trials(study_id, deepcopy=False))
        trial_id = self._retried(self._backend.create_new_trial, study_id, template_trial)
        number = self.get_trial(trial_id).number
        for unheard in range(self._next_numbers[study_id], number):
            self._fail(self.get_trial_id_from_study_id_trial_number(study_id, unheard))
        self._next_numbers[study_id] = number + 1
        return trial_id

    def _fail(self, trial_id: int) -> None:
        if not self.get_trial(trial_id).state.is_finished():
            for name, value in CUT_OFF.to_json().items():
                self.set_trial_user_attr(trial_id, name, value)
            self.set_trial_state_values(trial_id, TrialState.FAIL)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change the state of a trial, once."""
        before = self.num_retries
        try:
            return self._retried(self._backend.set_trial_state_values, trial_id, state, values)
        except UpdateFinishedTrialError:
            trial = self.get_trial(trial_id)
            was_ours = self.num_retries > before and trial.state == state
            if was_ours and (values is None or trial.values == list(values)):
                return True
            raise

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Make a study."""
        return self._retried(self._backend.create_new_study, directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Delete a study."""
        self._retried(self._backend.delete_study, study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study."""
        self._retried(self._backend.set_study_user_attr, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study."""
        self._retried(self._backend.set_study_system_attr, study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Find a study."""
        return self._retried(self._backend.get_study_id_from_name, study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Name a study."""
        return self._retried(self._backend.get_study_name_from_id, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return what is minimised and maximised."""
        return self._retried(self._backend.get_study_directions, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return attributes of a study."""
        return self._retried(self._backend.get_study_user_attrs, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return attributes of a study."""
        return self._retried(self._backend.get_study_system_attrs, study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        return self._retried(self._backend.get_all_studies)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter of a trial."""
        self._retried(self._backend.set_trial_param, trial_id, param_name, param_value_internal, distribution)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Find a trial."""
        return self._retried(self._backend.get_trial_id_from_study_id_trial_number, study_id, trial_number)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set an intermediate value of a trial."""
        self._retried(self._backend.set_trial_intermediate_value, trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self._retried(self._backend.set_trial_user_attr, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self._retried(self._backend.set_trial_system_attr, trial_id, key, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return self._retried(self._backend.get_trial, trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return all trials of a study."""
        return self._retried(self._backend.get_all_trials, study_id, deepcopy=deepcopy, states=states)


def reason_of(error: BaseException) -> str:
    """Return what the database said, in one line, without statements and addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            lines = str(cause.orig).strip().splitlines()
            return lines[0].rstrip(".") if lines else type(cause.orig).__name__
        cause = cause.__cause__
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _is_of_the_connection(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OperationalError | InterfaceError | PendingRollbackError):
            return True
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        cause = cause.__cause__
    return False
