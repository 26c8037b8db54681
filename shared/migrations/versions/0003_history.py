"""Status, stock and segment keep their history; two columns that nobody wrote or read go.

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
    op.drop_column("api_token", "last_used_at")
    op.drop_column("policy_version", "first_used_at")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
