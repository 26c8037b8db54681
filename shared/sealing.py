"""Secrets at rest: AES-256-GCM under a key derived from TIPOFF_SECRET_KEY, with the key's id, bound to its place.

A sealed text is `sealed.<key id>.<base64 of nonce and ciphertext>`. What is not sealed is read as it is: rows that were
stored before there was a key to seal them with, until `tipoff migrate` seals them.
"""

import base64
import binascii
import hmac
import secrets as random_source
from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "sealed."
NONCE_BYTES = 12


class Unsealable(Exception):
    """A sealed text cannot be read: another key sealed it, or it was moved or changed."""


def is_sealed(text: str) -> bool:
    """Whether a text is sealed, under whichever key."""
    return text.startswith(PREFIX)


def _derived(secret_key: str, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"tipoff: {purpose}".encode()).derive(secret_key.encode())


class Sealer:
    """Seals under the first key, and reads what any of them sealed."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._ciphers = {
            _derived(each, "key id").hex()[:8]: AESGCM(_derived(each, "sealed columns"))
            for each in secret_keys
        }
        self._digest_keys = [_derived(each, "digests of addresses") for each in secret_keys]
        self._current = next(iter(self._ciphers))

    def seal(self, text: str, place: str) -> str:
        """Return a text sealed for one place, such as "endpoint/3f0c.../address": nowhere else can it be read."""
        nonce = random_source.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, text.encode(), place.encode())
        return f"{PREFIX}{self._current}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Return the text sealed for this place. Raises Unsealable, which quotes nothing."""
        if not is_sealed(sealed):
            return sealed
        key_id, _, encoded = sealed.removeprefix(PREFIX).partition(".")
        if key_id not in self._ciphers:
            raise Unsealable("it was sealed under another TIPOFF_SECRET_KEY")
        try:
            raw = base64.b64decode(encoded, validate=True)
            opened = self._ciphers[key_id].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode())
        except (InvalidTag, binascii.Error, ValueError):
            raise Unsealable("it was moved or changed") from None
        return opened.decode()

    def is_current(self, sealed: str) -> bool:
        """Whether a text is sealed, and under the first key."""
        return sealed.startswith(f"{PREFIX}{self._current}.")

    def digests(self, text: str) -> list[str]:
        """Keyed digests of a text, by which its row is found; the first is of the first key."""
        return [hmac.digest(key, text.encode(), sha256).hex() for key in self._digest_keys]


@cache
def sealer_of(*secret_keys: str | None) -> Sealer:
    """Return the sealer of these keys, the current one first; one that is None is not set."""
    return Sealer([each for each in secret_keys if each is not None])
