"""This file makes Python look for garbage rarely while millions of short-lived values come and go."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

VALUES_BETWEEN_COLLECTIONS = 500_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look rarely for garbage in circles: rows, lines and orders never form any."""
    usual = gc.get_threshold()
    gc.set_threshold(VALUES_BETWEEN_COLLECTIONS, 10, 10)
    yield
    gc.set_threshold(*usual)
