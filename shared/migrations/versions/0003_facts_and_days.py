"""Facts and signals of days: histories, price agreements, contacts, holds; what a signal asks for and what hides it.

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
    _add_agreements_contacts_and_holds()
    _say_of_signals_what_they_ask_for_and_what_hides_them()
    _end_the_kind_margin()
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


def _add_agreements_contacts_and_holds() -> None:
    op.create_table(
        "price_agreement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "segment", sa.Text(), nullable=True, comment="of customers; NULL where it is with one customer"
        ),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "category", sa.Text(), nullable=True, comment="of products; NULL where it is about one product"
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True, comment="the last day; NULL: until further notice"),
        sa.Column(
            "unit_price", sa.Numeric(precision=18, scale=4), nullable=False, comment="per base unit, net"
        ),
        sa.CheckConstraint(
            "num_nonnulls(customer_id, segment) = 1", name=op.f("ck_price_agreement_one_party")
        ),
        sa.CheckConstraint(
            "num_nonnulls(product_id, category) = 1", name=op.f("ck_price_agreement_one_object")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_price_agreement_customer_id")
        ),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_price_agreement_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_agreement")),
        sa.UniqueConstraint(
            "customer_id",
            "product_id",
            "segment",
            "category",
            "currency",
            "valid_from",
            name="uq_price_agreement_terms",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "contact",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True, comment="phone, mail, visit ..."),
        sa.Column(
            "made_by",
            sa.Text(),
            nullable=True,
            comment="who spoke with the customer, as upstream names them",
        ),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_contact_customer_id")),
        sa.PrimaryKeyConstraint("source", "external_id", name=op.f("pk_contact")),
    )
    op.create_index("ix_contact_customer_id_at", "contact", ["customer_id", "at"])
    op.create_table(
        "hold",
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="credit_hold, complaint, other"),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=False,
            server_default=sa.text("''"),
            comment="tells those of one kind and day apart",
        ),
        sa.Column("valid_to", sa.Date(), nullable=True, comment="the last day; NULL: open"),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_hold_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", "kind", "valid_from", "reference", name=op.f("pk_hold")),
        comment="while one is open, nothing is sold to the customer",
    )


def _say_of_signals_what_they_ask_for_and_what_hides_them() -> None:
    """Add columns that the release before this one need not write, and when kinds of days first looked."""
    op.add_column(
        "signal",
        sa.Column(
            "action",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'call'"),
            comment="call, correction or mention: what it asks for",
        ),
    )
    op.add_column(
        "decision",
        sa.Column(
            "inhibited_by",
            sa.Text(),
            nullable=True,
            comment="the kind whose open question hides it, where one does",
        ),
    )
    op.create_table(
        "first_evaluation",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="of the detector, and of its model"),
        sa.Column("day", sa.Date(), nullable=False, comment="what was so long before opens nothing"),
        sa.Column(
            "old",
            sa.Integer(),
            nullable=False,
            comment="how much was found on that day that opened nothing",
        ),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("pk_first_evaluation")),
    )


def _end_the_kind_margin() -> None:
    """Close the episodes of a kind that is two others now, and drop what only the comparison of order sizes read."""
    op.execute(
        "WITH closed AS (UPDATE episode SET closed_at = now(), close_reason = 'its kind is no more'"
        " WHERE kind = 'margin' AND closed_at IS NULL RETURNING id, close_reason)"
        " INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason) SELECT id, ("
        "  SELECT to_state FROM episode_event WHERE episode_id = closed.id ORDER BY episode_event.id DESC LIMIT 1),"
        " 'closed', 'scoring', now(), close_reason FROM closed"
    )
    op.execute("UPDATE model_run SET state = 'superseded' WHERE model = 'order_sizes' AND state = 'current'")
    op.execute("DROP TABLE IF EXISTS order_size")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
