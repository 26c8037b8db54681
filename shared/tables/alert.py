"""Episodes, decisions, alerts, deliveries and their attempts, and what reps did."""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.tables.base import Amount, Id, Json, Moment, PublicId, metadata

episode = Table(
    "episode",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("customer_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("product_id", Id),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("opened_at", Moment, nullable=False, comment="business time"),
    Column("last_seen_at", Moment, nullable=False),
    Column("quiet_after", Moment, nullable=False, comment="closes by itself then, without new evidence"),
    Column("closed_at", Moment),
    Column("close_reason", Text),
    Column("holdout_bucket", SmallInteger, nullable=False, comment="0-99 by hash; below the share: held out"),
    Column("is_holdout", Boolean, nullable=False),
    Column("value", Amount, nullable=False, comment="as last sent, else as last seen"),
    Column("sent_at", Moment, comment="business time of the last notice"),
    UniqueConstraint("customer_id", "kind", "subject", "number"),
    Index(
        "uq_episode_open",
        "customer_id",
        "kind",
        "subject",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
)

policy_version = Table(
    "policy_version",
    metadata,
    Column("version", Text, primary_key=True, comment="hash of the rules"),
    Column("rules", Json, nullable=False),
    Column("first_used_at", Moment, nullable=False, server_default=text("now()")),
)

alert = Table(
    "alert",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("public_id", PublicId, nullable=False, unique=True, server_default=text("gen_random_uuid()")),
    Column("customer_id", Id, ForeignKey("customer.id"), nullable=False),
    Column("rep_id", Id, ForeignKey("rep.id"), nullable=False),
    Column(
        "is_default_owner",
        Boolean,
        nullable=False,
        comment="nobody owns the customer: the default owner got it",
    ),
    Column("order_id", Id, nullable=False),
    Column("business_day", Date, nullable=False, comment="in the rep's time zone"),
    Column("verdict", Text, nullable=False, comment="send or keep (inbox only)"),
    Column("reason", Text, nullable=False),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'open'"),
        comment="open, snoozed, done, dismissed, withdrawn",
    ),
    Column("is_urgent", Boolean, nullable=False),
    Column("is_selling", Boolean, nullable=False),
    Column("value", Amount, nullable=False, comment="expected margin of its points, base currency"),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("as_of", Moment, nullable=False),
    Column("snoozed_until", Moment),
    Column("closed_at", Moment),
    Column("close_reason", Text),
    Column("amended_at", Moment, comment="the order changed after it was sent"),
    UniqueConstraint("order_id", "rep_id"),
    Index("ix_alert_inbox", "rep_id", "state", "created_at"),
    Index("ix_alert_customer", "customer_id", "business_day"),
)

decision = Table(
    "decision",
    metadata,
    Column("signal_id", Id, ForeignKey("signal.id"), primary_key=True),
    Column("episode_id", Id, ForeignKey("episode.id")),
    Column("alert_id", Id, ForeignKey("alert.id")),
    Column("rank", SmallInteger, comment="place among the points of its alert, from 1"),
    Column("verdict", Text, nullable=False, comment="send, keep (inbox only) or drop (nowhere)"),
    Column("reason", Text, nullable=False),
    Column("policy_version", Text, ForeignKey("policy_version.version"), nullable=False),
    Column("holdout_bucket", SmallInteger),
    Column("decided_at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_decision_alert", "alert_id"),
    Index("ix_decision_reason", "reason"),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", PublicId, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("channel", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("rep_id", Id, ForeignKey("rep.id"), comment="NULL: every rep's alerts"),
    Column("secret_number", Integer, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False, server_default=text("'on'"), comment="on, or off with a reason"),
    Column("state_reason", Text),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    UniqueConstraint("channel", "address"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", PublicId, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("alert_id", Id, ForeignKey("alert.id"), nullable=False),
    Column("notice", SmallInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("endpoint_id", PublicId, ForeignKey("endpoint.id")),
    Column(
        "state", Text, nullable=False, comment="ready, sent, dead, expired, withdrawn, shadow, not_allowed"
    ),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("expires_at", Moment, nullable=False),
    Column("sent_at", Moment),
    UniqueConstraint("alert_id", "notice", "channel", "recipient"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", PublicId, ForeignKey("delivery.id"), primary_key=True),
    Column("n", SmallInteger, primary_key=True),
    Column("started_at", Moment, nullable=False, server_default=text("now()")),
    Column("finished_at", Moment),
    Column(
        "outcome", Text, comment="sent, rejected, unavailable, unknown; NULL: the process died in between"
    ),
    Column("detail", Text),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("alert_id", Id, ForeignKey("alert.id"), nullable=False),
    Column("action", Text, nullable=False, comment="done, snooze, dismiss, reopen"),
    Column("reason", Text),
    Column("until", Moment),
    Column("by", Text, nullable=False, comment="inbox, or the link of a mail"),
    Column("at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_feedback_alert", "alert_id"),
)
