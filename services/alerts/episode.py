"""This file says which episode a signal belongs to, and whether that episode may be spoken of (again)."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from services.alerts.candidate import Candidate, Episode, Reason
from services.alerts.holdout import bucket


def episode_of(candidate: Candidate, past: Episode | None, holdout_percent: int, now: datetime) -> Episode:
    """Return the open episode with this new evidence, or a new one when there is none or it fell quiet."""
    quiet_after = now + candidate.quiet_for
    if past is not None and past.is_open and now < past.quiet_after:
        value = past.value if past.sent_at else candidate.value
        return replace(past, last_seen_at=now, quiet_after=max(quiet_after, past.quiet_after), value=value)
    number = past.number + 1 if past else 1
    its_bucket = bucket(candidate.customer_id, candidate.kind, number)
    return Episode(
        customer_id=candidate.customer_id,
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


def may_speak(episode: Episode, value: Decimal, growth: Decimal) -> Reason | None:
    """Return why this episode may be spoken of: never said, or worth `growth` times what was said. Else None."""
    if episode.sent_at is None:
        return Reason.FIRST_TIME
    if value >= episode.value * growth:
        return Reason.MUCH_MORE_MONEY
    return None
