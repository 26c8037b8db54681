"""Signals belong to occasions, alerts to users, revisions replace readings.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Move an installation of 0001 to today's tables, with its data."""
    upgrade_orders()
    upgrade_signals()
    upgrade_alerts()


def upgrade_orders() -> None:
    """Events, order revisions, orders and lines."""
    op.add_column(
        "event",
        sa.Column(
            "flags",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what a person should know of an order that was taken: totals that differ",
        ),
    )
    op.add_column(
        "event",
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=True,
            comment="rises with every revision that was current; NULL: the version does",
        ),
    )
    op.create_index(
        "ix_event_flagged", "event", ["received_at"], postgresql_where=sa.text("flags IS NOT NULL")
    )
    op.add_column(
        "order_line",
        sa.Column(
            "parent_line_id",
            sa.Text(),
            nullable=True,
            comment="external_id of the line this one is part of: a bundle's, a set's",
        ),
    )


def upgrade_signals() -> None:
    """Signals, models, customers and products."""
    _give_signals_occasions()


def _give_signals_occasions() -> None:
    """A signal belonged to a version of an order: that order is its occasion, and the key of its decide task."""
    op.add_column(
        "signal",
        sa.Column(
            "occasion",
            sa.Text(),
            nullable=True,
            comment="order:<order id>, customer:<customer id>:<day> or rep:<rep id>:<day>",
        ),
    )
    op.add_column("signal", sa.Column("rep_id", sa.BigInteger(), nullable=True))
    op.add_column("signal", sa.Column("severity", sa.Text(), nullable=True, comment="urgent or normal"))
    op.add_column(
        "signal",
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what it was made from; NULL for signals found before these were kept",
        ),
    )
    op.execute(
        "UPDATE signal SET occasion = 'order:' || order_id,"
        " severity = CASE WHEN is_urgent THEN 'urgent' ELSE 'normal' END"
    )
    op.alter_column("signal", "occasion", nullable=False)
    op.alter_column("signal", "severity", nullable=False)
    op.drop_column("signal", "is_urgent")
    op.drop_constraint("uq_signal_order_id_order_version_kind_subject_cause", "signal", type_="unique")
    op.alter_column("signal", "customer_id", nullable=True)
    op.alter_column("signal", "order_id", nullable=True, comment="of an occasion that is an order")
    op.alter_column("signal", "order_version", nullable=True)
    op.create_unique_constraint(
        op.f("uq_signal_occasion_order_version_kind_subject_cause"),
        "signal",
        ["occasion", "order_version", "kind", "subject", "cause"],
        postgresql_nulls_not_distinct=True,
    )
    op.create_check_constraint(
        op.f("ck_signal_customer_or_rep"), "signal", "customer_id IS NOT NULL OR rep_id IS NOT NULL"
    )
    op.create_check_constraint(op.f("ck_signal_severity"), "signal", "severity IN ('urgent', 'normal')")
    op.execute(
        "UPDATE task SET key = 'order:' || split_part(key, ':', 1) || '@' || split_part(key, ':', 2)"
        " WHERE kind = 'decide'"
    )


def upgrade_alerts() -> None:
    """Users, episodes, alerts and deliveries."""


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
