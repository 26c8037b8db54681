"""Outcomes of what was notified and held, the last evaluation of each day kind, and kinds for the inbox alone.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables, a column with a default, and an index. The release before this one still runs on them."""
    _add_outcomes()
    _remember_evaluations()
    op.add_column(
        "signal",
        sa.Column(
            "is_inbox_only",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="its kind is read in the inbox; no message is sent of it",
        ),
    )


def _add_outcomes() -> None:
    op.create_table(
        "outcome",
        sa.Column(
            "signal_id",
            sa.BigInteger(),
            nullable=False,
            comment="of an episode, the first that somebody was notified of, else its first",
        ),
        sa.Column("episode_id", sa.BigInteger(), nullable=True, comment="NULL: it opened none"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("rep_id", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "horizon_days", sa.Integer(), nullable=False, comment="the days after as_of that were looked at"
        ),
        sa.Column(
            "is_notified", sa.Boolean(), nullable=False, comment="false: it was held, and nobody was told"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="of the decision"),
        sa.Column("probability", sa.Float(), nullable=False, comment="said: that it happens if nobody acts"),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("stake", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("value", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column(
            "happened", sa.Boolean(), nullable=True, comment="the good outcome came; NULL: nobody knows"
        ),
        sa.Column(
            "confirmed", sa.Boolean(), nullable=True, comment="what was said stayed true; NULL: nobody knows"
        ),
        sa.Column(
            "revenue",
            sa.Numeric(precision=18, scale=4),
            nullable=True,
            comment="seen in those days, base currency",
        ),
        sa.Column(
            "margin",
            sa.Numeric(precision=18, scale=4),
            nullable=True,
            comment="seen in those days, base currency; NULL where a cost is unknown",
        ),
        sa.Column(
            "observed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="business time; later where a late order changed it",
        ),
        sa.ForeignKeyConstraint(["episode_id"], ["episode.id"], name=op.f("fk_outcome_episode_id")),
        sa.ForeignKeyConstraint(["signal_id"], ["signal.id"], name=op.f("fk_outcome_signal_id")),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_outcome")),
        sa.UniqueConstraint("episode_id", name=op.f("uq_outcome_episode_id")),
    )
    op.create_index("ix_outcome_kind_as_of", "outcome", ["kind", "as_of"])


def _remember_evaluations() -> None:
    """Create the table, and the index by which orders that were applied since are found."""
    op.create_table(
        "evaluation",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="business time of the last evaluation",
        ),
        sa.Column(
            "seen_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="database clock: orders applied since were not seen, but for some minutes of overlap",
        ),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_evaluation")),
        comment="the last evaluation of each kind that looks at days",
    )
    op.create_index("ix_sales_order_applied_at", "sales_order", ["applied_at"], postgresql_using="brin")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
