"""This file leaves some episodes alone on purpose, so that what calls earn can be measured against them."""

from hashlib import sha256

BUCKETS = 100


def bucket(customer_id: int, kind: str, episode_number: int) -> int:
    """Return 0-99, the same for ever, evenly spread over customers, kinds and episodes."""
    digest = sha256(f"{customer_id}/{kind}/{episode_number}".encode()).digest()
    return int.from_bytes(digest[:8]) % BUCKETS
