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
        op.execute(
            f"CREATE FUNCTION keep_{table}_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" INSERT INTO {table}_history ({table}_id, valid_from, {columns})"
            f" VALUES (NEW.id, now(), {', '.join(f'NEW.{each}' for each in kept)})"
            f" ON CONFLICT ({table}_id, valid_from)"
            f" DO UPDATE SET {', '.join(f'{each} = excluded.{each}' for each in kept)};"
            " RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER keep_history_of_new AFTER INSERT ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION keep_{table}_history()"
        )
        op.execute(
            f"CREATE TRIGGER keep_history_of_changed AFTER UPDATE ON {table} FOR EACH ROW"
            f" WHEN (({', '.join(f'OLD.{each}' for each in kept)})"
            f" IS DISTINCT FROM ({', '.join(f'NEW.{each}' for each in kept)}))"
            f" EXECUTE FUNCTION keep_{table}_history()"
        )
    op.drop_column("api_token", "last_used_at")
    op.drop_column("policy_version", "first_used_at")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
