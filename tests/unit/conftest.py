"""Keep unit tests pure: a test here that opens a socket fails."""

import pytest


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Block every socket."""
