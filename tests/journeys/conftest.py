"""Real servers at the other end of what the journeys send."""

from collections.abc import Iterator

import pytest

from tests import http_receiver, mail_sink


@pytest.fixture
def sink() -> Iterator[mail_sink.Sink]:
    """A mail server."""
    with mail_sink.running() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[http_receiver.Receiver]:
    """Somebody who takes webhooks."""
    with http_receiver.running() as running:
        yield running
