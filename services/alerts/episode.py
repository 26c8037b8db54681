"""Episodes: which one a signal belongs to, whether it is held out, and whether somebody is notified of it again."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

from services.alerts.policy import Candidate, EpisodeKey, Reason

BUCKETS = 100


@dataclass(frozen=True, slots=True)
class Episode:
    """One open question about a customer or a rep. `value` is as last notified, else as last seen."""

    customer_id: int | None
    kind: str
    subject: str
    number: int
    opened_at: datetime
    last_seen_at: datetime
    quiet_after: datetime
    holdout_bucket: int
    is_holdout: bool
    value: Decimal
    rep_id: int | None = None
    notified_at: datetime | None = None
    product_id: int | None = None
    id: int | None = None
    is_open: bool = True
    is_dismissed: bool = False
    snoozed_until: datetime | None = None

    @property
    def key(self) -> EpisodeKey:
        """What it is about."""
        return self.customer_id, self.rep_id, self.kind, self.subject


def episode_of(candidate: Candidate, past: Episode | None, holdout_percent: int, now: datetime) -> Episode:
    """Return the open episode with this new evidence, or a new one when none is open or its time is over."""
    quiet_after = now + candidate.episode_ttl
    if past is not None and past.is_open and now < past.quiet_after:
        value = past.value if past.notified_at else candidate.value
        return replace(past, last_seen_at=now, quiet_after=max(quiet_after, past.quiet_after), value=value)
    number = past.number + 1 if past else 1
    its_bucket = bucket(candidate, number)
    return Episode(
        customer_id=candidate.customer_id,
        rep_id=candidate.rep_id,
        kind=candidate.kind,
        subject=candidate.subject,
        number=number,
        opened_at=now,
        last_seen_at=now,
        quiet_after=quiet_after,
        holdout_bucket=its_bucket,
        is_holdout=its_bucket < holdout_percent,
        value=candidate.value,
        product_id=candidate.product_id,
    )


def may_notify(episode: Episode, value: Decimal, growth: Decimal) -> Reason | None:
    """Return why somebody may be notified: never before, or worth `growth` times the last message. Else None."""
    if episode.notified_at is None:
        return Reason.FIRST_TIME
    if value >= episode.value * growth:
        return Reason.MUCH_MORE_MONEY
    return None


def bucket(candidate: Candidate, episode_number: int) -> int:
    """Return 0-99, the same for ever, evenly spread over customers (or reps), kinds and episodes.

    Episodes below the policy's share are left alone on purpose, so that what calls earn can be measured.
    """
    about = candidate.customer_id if candidate.rep_id is None else f"rep {candidate.rep_id}"
    digest = sha256(f"{about}/{candidate.kind}/{episode_number}".encode()).digest()
    return int.from_bytes(digest[:8]) % BUCKETS
