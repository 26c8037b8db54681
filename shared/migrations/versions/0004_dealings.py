"""Price agreements, contacts with customers, and holds on them.

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
    """Add tables. The release before this one does not know them."""
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


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
