from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.latency.transports.board import Board, make_board


@pytest.fixture(scope="session")
def shared_board() -> Iterator[Board]:
    board = make_board()
    yield board
    board.remove()


@pytest.fixture
def board(shared_board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A running board that ssh finds under the name `board`."""
    monkeypatch.setenv("HWNAS_SSH_CONFIG", str(shared_board.ssh_config))
    if shared_board.server is None:
        shared_board.start()
    return shared_board
