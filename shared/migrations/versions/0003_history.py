"""Status, stock and segment keep their history; skip reasons get their name; two columns that nobody wrote or read go.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEPT = {
    "customer": ("status", "segment"),
    "product": ("status", "stock"),
}


def upgrade() -> None:
    """Change the tables. The release before this one still runs on them."""
    _keep_histories()
    _call_silence_notes_skip_reasons()
    op.drop_column("api_token", "last_used_at")
    op.drop_column("policy_version", "first_used_at")
    op.alter_column("alert", "verdict", comment="notify or inbox_only")
    op.alter_column("decision", "verdict", comment="notify, inbox_only or suppressed")
    op.create_index("ix_decision_episode_id", "decision", ["episode_id"])
    op.create_index(
        "ix_alert_notified",
        "alert",
        ["recipient_id", "business_day"],
        postgresql_where=sa.text("notified_at IS NOT NULL"),
    )


def _call_silence_notes_skip_reasons() -> None:
    """Rename the table; a view under its old name lets the release before this one go on writing to it."""
    op.rename_table("silence_note", "skip_reason")
    op.execute("ALTER TABLE skip_reason RENAME CONSTRAINT pk_silence_note TO pk_skip_reason")
    op.alter_column("skip_reason", "noted_at", new_column_name="skipped_at")
    op.alter_column("skip_reason", "reason", comment="why no kind looked at this version of the order")
    op.execute(
        "CREATE VIEW silence_note AS"
        " SELECT order_id, order_version, reason, skipped_at AS noted_at FROM skip_reason"
    )


def _keep_histories() -> None:
    """Create the histories with what is known today, and have the database write them from now on.

    A trigger does it, so that no writer can forget it: imports, orders that name somebody new, and programs of the
    release before this one.
    """
    op.create_table(
        "customer_history",
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "valid_from",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="database clock; the first row also holds for what was before it",
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_customer_history_customer_id")
        ),
        sa.PrimaryKeyConstraint("customer_id", "valid_from", name=op.f("pk_customer_history")),
        comment="written by a trigger whenever one of these changes in customer",
    )
    op.create_table(
        "product_history",
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "valid_from",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="database clock; the first row also holds for what was before it",
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stock", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_product_history_product_id")),
        sa.PrimaryKeyConstraint("product_id", "valid_from", name=op.f("pk_product_history")),
        comment="written by a trigger whenever one of these changes in product",
    )
    for table, kept in _KEPT.items():
        columns = ", ".join(kept)
        op.execute(
            f"INSERT INTO {table}_history ({table}_id, valid_from, {columns})"
            f" SELECT id, created_at, {columns} FROM {table}"
        )
        write = (
            f"INSERT INTO {table}_history ({table}_id, valid_from, {columns})"
            f" SELECT id, now(), {', '.join(f'after.{each}' for each in kept)} FROM after {{changed}}"
            f" ON CONFLICT ({table}_id, valid_from)"
            f" DO UPDATE SET {', '.join(f'{each} = excluded.{each}' for each in kept)};"
        )
        changed = (
            f"JOIN before USING (id) WHERE ({', '.join(f'before.{each}' for each in kept)})"
            f" IS DISTINCT FROM ({', '.join(f'after.{each}' for each in kept)})"
        )
        for event, tables, which in (
            ("insert", "NEW TABLE AS after", ""),
            ("update", "OLD TABLE AS before NEW TABLE AS after", changed),
        ):
            name = f"keep_{table}_history_on_{event}"
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN {write.format(changed=which)} RETURN NULL; END $$"
            )
            op.execute(
                f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {tables}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
