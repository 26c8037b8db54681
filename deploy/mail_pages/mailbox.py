"""Mails kept as files, one `.eml` each, named so that they sort by arrival."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
MOMENT = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail as it arrived. `raw` starts with what the envelope said: Return-Path and Delivered-To."""

    name: str
    arrived_at: datetime
    message: EmailMessage
    raw: bytes

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return str(self.message["subject"] or "(no subject)")

    @property
    def recipients(self) -> tuple[str, ...]:
        """Who it was delivered to, by the envelope."""
        return tuple(str(each) for each in self.message.get_all("delivered-to", ()))

    @property
    def sender(self) -> str:
        """Who it says it is from."""
        return str(self.message["from"] or "")

    @property
    def plain(self) -> str | None:
        """The plain text part, None when there is none."""
        return self._part("plain")

    @property
    def html(self) -> str | None:
        """The HTML part, None when there is none."""
        return self._part("html")

    def _part(self, kind: str) -> str | None:
        part = self.message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else None


class Mailbox:
    """A folder of mails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, sender: str, recipients: Sequence[str], content: bytes) -> str:
        """Store one mail, whole or not at all, and return its name."""
        name = f"{datetime.now(UTC).strftime(MOMENT)}-{secrets.token_hex(4)}"
        envelope = [f"Return-Path: <{sender}>", *(f"Delivered-To: {each}" for each in recipients)]
        half = self.folder / f"{name}.part"
        half.write_bytes("".join(f"{line}\r\n" for line in envelope).encode() + content)
        half.replace(self._path(name))
        return name

    def names(self) -> list[str]:
        """Return the names of all mails, newest first."""
        return sorted(
            (each.stem for each in self.folder.glob("*.eml") if NAME.fullmatch(each.stem)), reverse=True
        )

    def read(self, name: str) -> StoredMail:
        """Return one mail. Raises KeyError when there is none of that name."""
        if not NAME.fullmatch(name) or not self._path(name).exists():
            raise KeyError(name)
        raw = self._path(name).read_bytes()
        message = message_from_bytes(raw, policy=policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - what this policy makes
        arrived_at = datetime.strptime(name.partition("-")[0], MOMENT).replace(tzinfo=UTC)
        return StoredMail(name, arrived_at, message, raw)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.eml"
