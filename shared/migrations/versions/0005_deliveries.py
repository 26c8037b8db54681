"""Deliveries that cannot be lost, and endpoints with names whose addresses are sealed; what reps waved away.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UNSENT = sa.text("state IN ('ready', 'dead', 'expired', 'held')")


def upgrade() -> None:
    """Add tables, columns and an index. The release before this one still runs on them."""
    op.create_table(
        "endpoint_health",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column(
            "endpoint",
            sa.Text(),
            nullable=False,
            comment="its id; empty: whatever serves a channel to users",
        ),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the first failure after the last success",
        ),
        sa.Column("failures", sa.Integer(), nullable=False, comment="attempts that failed since then"),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column(
            "open_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="nothing is sent before; then one message asks. NULL: closed",
        ),
        sa.Column(
            "noticed",
            sa.Text(),
            nullable=True,
            comment="for how long it had failed when operators were told last: 1 h, 24 h, 5 days",
        ),
        sa.PrimaryKeyConstraint("channel", "endpoint", name=op.f("pk_endpoint_health")),
        comment="endpoints that fail now: the breaker of each. One that answers has no row",
    )
    op.create_table(
        "suppressed_address",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="in lower case"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("channel", "address", name=op.f("pk_suppressed_address")),
        comment="addresses that do not exist: nothing is sent there until somebody takes them off",
    )
    _add_dismissals()
    _extend_endpoint()
    _seal_endpoints()
    _extend_delivery()


def _add_dismissals() -> None:
    """Create the table, and keep the effect of what was dismissed before: that kind of that customer, for 90 days."""
    op.create_table(
        "dismissal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("rep_id", sa.BigInteger(), nullable=True, comment="where it is about no customer"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="knew, not_worth_it, price_agreed ..."),
        sa.Column(
            "stake",
            sa.Numeric(precision=18, scale=4),
            nullable=False,
            comment="what the dismissed alert was about, base currency",
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column(
            "until", sa.DateTime(timezone=True), nullable=False, comment="business time; its effect ends then"
        ),
        sa.Column(
            "ended_at", sa.DateTime(timezone=True), nullable=True, comment="business time; it was undone"
        ),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=op.f("fk_dismissal_alert_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episode.id"], name=op.f("fk_dismissal_episode_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dismissal")),
        comment="alerts a rep waved away, with what is not told because of it",
    )
    op.create_index("ix_dismissal_alert_id", "dismissal", ["alert_id"])
    live = sa.text("ended_at IS NULL")
    op.create_index("ix_dismissal_customer_id", "dismissal", ["customer_id"], postgresql_where=live)
    op.create_index("ix_dismissal_rep_id", "dismissal", ["rep_id"], postgresql_where=live)
    op.execute(
        "INSERT INTO dismissal (alert_id, episode_id, customer_id, rep_id, kind, subject, reason, stake, since, until)"
        " SELECT DISTINCT ON (alert.id) alert.id, episode_id, signal.customer_id,"
        "  CASE WHEN signal.customer_id IS NULL THEN signal.rep_id END, signal.kind, signal.subject, 'not_worth_it',"
        "  signal.stake, alert.closed_at, alert.closed_at + interval '90 days'"
        " FROM alert JOIN decision ON decision.alert_id = alert.id JOIN signal ON signal.id = signal_id"
        " WHERE alert.state = 'dismissed' AND alert.closed_at IS NOT NULL AND episode_id IS NOT NULL"
        " ORDER BY alert.id, rank NULLS LAST, signal.value DESC, signal.id"
    )


def _extend_endpoint() -> None:
    op.add_column(
        "endpoint",
        sa.Column(
            "on_unknown",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'retry'"),
            comment="what becomes of a delivery that may have arrived: retry, or hold until somebody decides",
        ),
    )
    op.add_column(
        "endpoint",
        sa.Column(
            "is_for_operators",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="hears what goes wrong with deliveries; no alerts go there",
        ),
    )
    op.create_check_constraint("on_unknown", "endpoint", "on_unknown IN ('retry', 'hold')")


def _seal_endpoints() -> None:
    """Add columns. A migration has no key: `tipoff migrate` then seals addresses and names endpoints."""
    op.add_column(
        "endpoint", sa.Column("name", sa.Text(), nullable=True, comment="what lists and pages show")
    )
    op.add_column(
        "endpoint",
        sa.Column("address_digest", sa.Text(), nullable=True, comment="keyed: an endpoint is found by it"),
    )
    op.add_column(
        "endpoint",
        sa.Column(
            "signing_secret", sa.Text(), nullable=True, comment="sealed: verifies what the receiver sends us"
        ),
    )
    op.alter_column("endpoint", "address", comment="sealed: a chat's address is a credential")
    op.create_unique_constraint(op.f("uq_endpoint_name"), "endpoint", ["name"])
    op.create_unique_constraint(
        op.f("uq_endpoint_channel_address_digest"), "endpoint", ["channel", "address_digest"]
    )
    op.alter_column("delivery", "recipient", comment="a mail address, or the id of an endpoint")


def _extend_delivery() -> None:
    op.add_column(
        "delivery",
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
            comment="database clock: when it is to be sent",
        ),
    )
    op.add_column(
        "delivery",
        sa.Column(
            "resent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="somebody had it sent again: attempts before do not count",
        ),
    )
    op.add_column(
        "delivery",
        sa.Column(
            "group_key",
            sa.Text(),
            nullable=True,
            comment="deliveries to one address that gather alerts: a morning, a cause, a storm",
        ),
    )
    op.add_column(
        "delivery",
        sa.Column(
            "operator_notice",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what operators are told, in place of alerts",
        ),
    )
    op.alter_column(
        "delivery", "state", comment="ready, sent, dead, expired, held, withdrawn, shadow, not_allowed"
    )
    op.alter_column(
        "attempt",
        "outcome",
        comment="sent, rejected, refused, unavailable, unknown; NULL: on its way, or the process died",
    )
    op.create_index("ix_delivery_unsent", "delivery", ["channel", "state"], postgresql_where=UNSENT)
    op.create_index(
        "ix_delivery_group",
        "delivery",
        ["channel", "recipient", "due_at"],
        postgresql_where=sa.text("group_key IS NOT NULL"),
    )
    op.create_index(
        "ix_delivery_notice",
        "delivery",
        ["created_at"],
        postgresql_where=sa.text("operator_notice IS NOT NULL"),
    )


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
