"""Episodes and their history, decisions, alerts, deliveries with their attempts, and what reps did."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
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
    Column("customer_id", Id),
    Column("rep_id", Id, comment="the rep it is about, where it is about no customer"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("product_id", Id),
    Column("opened_at", Moment, nullable=False, comment="business time"),
    Column("last_seen_at", Moment, nullable=False),
    Column("quiet_after", Moment, nullable=False, comment="closes by itself then, without new evidence"),
    Column("closed_at", Moment, comment="NULL: open"),
    Column("close_reason", Text),
    Column("holdout_bucket", SmallInteger, nullable=False, comment="0-99 by hash; below the share: held out"),
    Column("is_holdout", Boolean, nullable=False),
    Column("value", Amount, nullable=False, comment="as last notified, else as last seen"),
    Column("notified_at", Moment, comment="business time of the last message about it"),
    UniqueConstraint("customer_id", "kind", "subject", "number"),
    UniqueConstraint("rep_id", "kind", "subject", "number"),
    CheckConstraint("(customer_id IS NULL) <> (rep_id IS NULL)", name="one_subject"),
    Index(
        "uq_episode_open_customer",
        "customer_id",
        "kind",
        "subject",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index(
        "uq_episode_open_rep",
        "rep_id",
        "kind",
        "subject",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
)

episode_event = Table(
    "episode_event",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("episode_id", Id, ForeignKey("episode.id"), nullable=False),
    Column("from_state", Text, comment="NULL: it was opened"),
    Column("to_state", Text, nullable=False, comment="open, notified, snoozed, dismissed, closed ..."),
    Column("actor", Text, nullable=False, comment="scoring, alerts, inbox, or the link of a mail"),
    Column("actor_id", Id, ForeignKey("user.id"), comment="the user who acted, where one is known"),
    Column("at", Moment, nullable=False, comment="business time"),
    Column("reason", Text),
    Index("ix_episode_event_episode_id", "episode_id", "id"),
)

policy_version = Table(
    "policy_version",
    metadata,
    Column("version", Text, primary_key=True, comment="hash of the rules"),
    Column("rules", Json, nullable=False),
)

alert = Table(
    "alert",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("public_id", PublicId, nullable=False, unique=True, server_default=text("gen_random_uuid()")),
    Column(
        "occasion",
        Text,
        nullable=False,
        comment="order:<order id>, customer:<customer id>:<day> or rep:<rep id>:<day>",
    ),
    Column("recipient_id", Id, ForeignKey("user.id"), nullable=False),
    Column("customer_id", Id, ForeignKey("customer.id")),
    Column(
        "about_rep_id", Id, ForeignKey("rep.id"), comment="the rep it is about, where it is about no customer"
    ),
    Column("order_id", Id, comment="of an occasion that is an order"),
    Column("group_key", Text, comment="alerts of one storm share it: one row in the inbox, one delivery"),
    Column(
        "is_default_owner",
        Boolean,
        nullable=False,
        comment="nobody owns the customer: the default owner got it",
    ),
    Column("business_day", Date, nullable=False, comment="in the recipient's time zone"),
    Column("verdict", Text, nullable=False, comment="notify or inbox_only"),
    Column("reason", Text, nullable=False),
    Column("notified_at", Moment, comment="business time; NULL: nobody was told"),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'open'"),
        comment="open, snoozed, done, dismissed, withdrawn",
    ),
    Column("severity", Text, nullable=False, comment="urgent or normal"),
    Column("is_selling", Boolean, nullable=False),
    Column("value", Amount, nullable=False, comment="expected margin of its points, base currency"),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("as_of", Moment, nullable=False),
    Column("snoozed_until", Moment),
    Column("closed_at", Moment),
    Column("close_reason", Text),
    Column("amended_at", Moment, comment="the order changed after somebody was notified"),
    UniqueConstraint("occasion", "recipient_id"),
    CheckConstraint("customer_id IS NOT NULL OR about_rep_id IS NOT NULL", name="customer_or_rep"),
    CheckConstraint("severity IN ('urgent', 'normal')", name="severity"),
    Index("ix_alert_inbox", "recipient_id", "state", "created_at"),
    Index("ix_alert_customer", "customer_id", "business_day"),
    Index("ix_alert_order_id", "order_id"),
    Index(
        "ix_alert_notified",
        "recipient_id",
        "business_day",
        postgresql_where=text("notified_at IS NOT NULL"),
    ),
)

decision = Table(
    "decision",
    metadata,
    Column("signal_id", Id, ForeignKey("signal.id"), primary_key=True),
    Column("episode_id", Id, ForeignKey("episode.id")),
    Column("alert_id", Id, ForeignKey("alert.id")),
    Column("rank", SmallInteger, comment="place among the points of its alert, from 1"),
    Column("verdict", Text, nullable=False, comment="notify, inbox_only or suppressed"),
    Column("reason", Text, nullable=False),
    Column("inhibited_by", Text, comment="the kind whose open question hides it, where one does"),
    Column("policy_version", Text, ForeignKey("policy_version.version"), nullable=False),
    Column("holdout_bucket", SmallInteger),
    Column("decided_at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_decision_alert", "alert_id"),
    Index("ix_decision_episode_id", "episode_id"),
    Index("ix_decision_reason", "reason"),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", PublicId, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("channel", Text, nullable=False),
    Column("name", Text, unique=True, comment="what lists and pages show"),
    Column("address", Text, nullable=False, comment="sealed: a chat's address is a credential"),
    Column("address_digest", Text, comment="keyed: an endpoint is found by it"),
    Column("signing_secret", Text, comment="sealed: verifies what the receiver sends us"),
    Column("rep_id", Id, ForeignKey("rep.id"), comment="NULL: every rep's alerts"),
    Column("secret_number", Integer, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False, server_default=text("'on'"), comment="on, or off with a reason"),
    Column("state_reason", Text),
    Column(
        "on_unknown",
        Text,
        nullable=False,
        server_default=text("'retry'"),
        comment="what becomes of a delivery that may have arrived: retry, or hold until somebody decides",
    ),
    Column(
        "is_for_operators",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="hears what goes wrong with deliveries; no alerts go there",
    ),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    UniqueConstraint("channel", "address"),
    UniqueConstraint("channel", "address_digest"),
    CheckConstraint("on_unknown IN ('retry', 'hold')", name="on_unknown"),
)

endpoint_health = Table(
    "endpoint_health",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True, comment="its id; empty: whatever serves a channel to users"),
    Column("failing_since", Moment, nullable=False, comment="the first failure after the last success"),
    Column("failures", Integer, nullable=False, comment="attempts that failed since then"),
    Column("last_error", Text, nullable=False),
    Column("open_until", Moment, comment="nothing is sent before; then one message asks. NULL: closed"),
    Column(
        "noticed", Text, comment="for how long it had failed when operators were told last: 1 h, 24 h, 5 days"
    ),
    comment="endpoints that fail now: the breaker of each. One that answers has no row",
)

suppressed_address = Table(
    "suppressed_address",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("address", Text, primary_key=True, comment="in lower case"),
    Column("reason", Text, nullable=False),
    Column("since", Moment, nullable=False, server_default=text("now()")),
    comment="addresses that do not exist: nothing is sent there until somebody takes them off",
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", PublicId, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False, comment="a mail address, or the id of an endpoint"),
    Column("endpoint_id", PublicId, ForeignKey("endpoint.id")),
    Column(
        "state",
        Text,
        nullable=False,
        comment="ready, sent, dead, expired, held, withdrawn, shadow, not_allowed",
    ),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("send_after", Moment, comment="business time; NULL: at once"),
    Column(
        "due_at",
        Moment,
        nullable=False,
        server_default=text("now()"),
        comment="database clock: when it is to be sent",
    ),
    Column("expires_at", Moment, nullable=False, comment="database clock"),
    Column("sent_at", Moment),
    Column("receipt", Json, comment="what the channel answered, such as the id of a task it made"),
    Column("resent_at", Moment, comment="somebody had it sent again: attempts before do not count"),
    Column(
        "group_key", Text, comment="deliveries to one address that gather alerts: a morning, a cause, a storm"
    ),
    Column("operator_notice", Json, comment="what operators are told, in place of alerts"),
    Index(
        "ix_delivery_unsent",
        "channel",
        "state",
        postgresql_where=text("state IN ('ready', 'dead', 'expired', 'held')"),
    ),
    Index(
        "ix_delivery_group",
        "channel",
        "recipient",
        "due_at",
        postgresql_where=text("group_key IS NOT NULL"),
    ),
    Index("ix_delivery_notice", "created_at", postgresql_where=text("operator_notice IS NOT NULL")),
)

delivery_item = Table(
    "delivery_item",
    metadata,
    Column("delivery_id", PublicId, ForeignKey("delivery.id"), primary_key=True),
    Column("alert_id", Id, ForeignKey("alert.id"), primary_key=True),
    Column("notice", SmallInteger, nullable=False, comment="how many times the alert was sent, from 1"),
    Column(
        "channel",
        Text,
        nullable=False,
        comment="copied from the delivery: one notice goes to each address once",
    ),
    Column("recipient", Text, nullable=False, comment="copied from the delivery"),
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
        "outcome",
        Text,
        comment="sent, rejected, refused, unavailable, unknown; NULL: on its way, or the process died",
    ),
    Column("detail", Text),
)

dismissal = Table(
    "dismissal",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("alert_id", Id, ForeignKey("alert.id"), nullable=False),
    Column("episode_id", Id, ForeignKey("episode.id"), nullable=False),
    Column("customer_id", Id),
    Column("rep_id", Id, comment="where it is about no customer"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="knew, not_worth_it, price_agreed ..."),
    Column("stake", Amount, nullable=False, comment="what the dismissed alert was about, base currency"),
    Column("since", Moment, nullable=False, comment="business time"),
    Column("until", Moment, nullable=False, comment="business time; its effect ends then"),
    Column("ended_at", Moment, comment="business time; it was undone"),
    Index("ix_dismissal_alert_id", "alert_id"),
    Index("ix_dismissal_customer_id", "customer_id", postgresql_where=text("ended_at IS NULL")),
    Index("ix_dismissal_rep_id", "rep_id", postgresql_where=text("ended_at IS NULL")),
    comment="alerts a rep waved away, with what is not told because of it",
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("alert_id", Id, ForeignKey("alert.id"), nullable=False),
    Column("action", Text, nullable=False, comment="called, won, lost, snooze, dismiss, undo"),
    Column("reason", Text),
    Column("until", Moment),
    Column("by", Text, nullable=False, comment="inbox, or the link of a mail"),
    Column("actor_id", Id, ForeignKey("user.id"), comment="the user who acted, where one is known"),
    Column("at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_feedback_alert", "alert_id"),
)
