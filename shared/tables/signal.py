"""Signals as found, each with the versions that made it, and what became of them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.tables.base import Amount, Id, Json, Moment, PublicId, metadata

signal = Table(
    "signal",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("public_id", PublicId, nullable=False, unique=True, server_default=text("gen_random_uuid()")),
    Column("kind", Text, nullable=False),
    Column("customer_id", Id),
    Column("rep_id", Id),
    Column("subject", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column(
        "occasion",
        Text,
        nullable=False,
        comment="order:<order id>, customer:<customer id>:<day> or rep:<rep id>:<day>",
    ),
    Column("order_id", Id, comment="of an occasion that is an order"),
    Column("order_version", BigInteger),
    Column("product_id", Id),
    Column("as_of", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("probability", Float, nullable=False),
    Column("basis", Text, nullable=False),
    Column("stake", Amount, nullable=False),
    Column("value", Amount, nullable=False),
    Column("low", Amount, nullable=False),
    Column("high", Amount, nullable=False),
    Column("revenue", Amount),
    Column("horizon_days", Integer, nullable=False),
    Column(
        "quiet_days", Integer, nullable=False, comment="its episode ends after so long without new evidence"
    ),
    Column("headline", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("detail", Json, nullable=False),
    Column("facts", Json, comment="what it was made from; NULL for signals found before these were kept"),
    Column("severity", Text, nullable=False, comment="urgent or normal"),
    Column(
        "action",
        Text,
        nullable=False,
        server_default=text("'call'"),
        comment="call, correction or mention: what it asks for",
    ),
    Column("is_selling", Boolean, nullable=False),
    Column(
        "is_inbox_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="its kind is read in the inbox; no message is sent of it",
    ),
    Column(
        "is_proven", Boolean, nullable=False, comment="false: its model does not win, or is missing or old"
    ),
    Column("unproven_reason", Text),
    Column("assumed_margin", Boolean, nullable=False),
    Column("detector_version", Text, nullable=False),
    Column("model_run_id", Id),
    Column("found_at", Moment, nullable=False, server_default=text("now()")),
    Column("withdrawn_at", Moment),
    Column("withdrawn_reason", Text),
    UniqueConstraint(
        "occasion", "order_version", "kind", "subject", "cause", postgresql_nulls_not_distinct=True
    ),
    CheckConstraint("customer_id IS NOT NULL OR rep_id IS NOT NULL", name="customer_or_rep"),
    CheckConstraint("severity IN ('urgent', 'normal')", name="severity"),
    Index("ix_signal_customer", "customer_id", "kind", "subject"),
)

skip_reason = Table(
    "skip_reason",
    metadata,
    Column("order_id", Id, primary_key=True),
    Column("order_version", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False, comment="why no kind looked at this version of the order"),
    Column("skipped_at", Moment, nullable=False, server_default=text("now()")),
)

outcome = Table(
    "outcome",
    metadata,
    Column(
        "signal_id",
        Id,
        ForeignKey("signal.id"),
        primary_key=True,
        comment="of an episode, the first that somebody was notified of, else its first",
    ),
    Column("episode_id", Id, ForeignKey("episode.id"), unique=True, comment="NULL: it opened none"),
    Column("kind", Text, nullable=False),
    Column("customer_id", Id),
    Column("rep_id", Id),
    Column("subject", Text, nullable=False),
    Column("as_of", Moment, nullable=False),
    Column("horizon_days", Integer, nullable=False, comment="the days after as_of that were looked at"),
    Column("is_notified", Boolean, nullable=False, comment="false: it was held, and nobody was told"),
    Column("reason", Text, nullable=False, comment="of the decision"),
    Column("probability", Float, nullable=False, comment="said: that it happens if nobody acts"),
    Column("basis", Text, nullable=False),
    Column("stake", Amount, nullable=False),
    Column("value", Amount, nullable=False),
    Column("happened", Boolean, comment="the good outcome came; NULL: nobody knows"),
    Column("confirmed", Boolean, comment="what was said stayed true; NULL: nobody knows"),
    Column("revenue", Amount, comment="seen in those days, base currency"),
    Column("margin", Amount, comment="seen in those days, base currency; NULL where a cost is unknown"),
    Column(
        "observed_at", Moment, nullable=False, comment="business time; later where a late order changed it"
    ),
    Index("ix_outcome_kind_as_of", "kind", "as_of"),
)
