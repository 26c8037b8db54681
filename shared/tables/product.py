"""Products, the names upstream systems know them by, their substitutes, costs and prices; exchange rates."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.tables.base import Amount, Id, Moment, Quantity, metadata

product = Table(
    "product",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("name", Text, comment="from the product master; NULL until it is imported"),
    Column("category", Text),
    Column("status", Text, nullable=False, server_default=text("'active'"), comment="active or discontinued"),
    Column("stock", Quantity, comment="NULL when nobody told us"),
    Column("list_price", Amount),
    Column("floor_margin", Numeric(6, 4), comment="least margin rate we sell at; NULL: the setting's"),
    Column("currency", Text),
    Column("units_per_pack", Quantity),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
)

product_ref = Table(
    "product_ref",
    metadata,
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("product_id", Id, ForeignKey("product.id"), nullable=False),
    Index("ix_product_ref_product_id", "product_id"),
)

product_history = Table(
    "product_history",
    metadata,
    Column("product_id", Id, ForeignKey("product.id"), primary_key=True),
    Column(
        "valid_from",
        Moment,
        primary_key=True,
        comment="database clock; the first row also holds for what was before it",
    ),
    Column("status", Text, nullable=False),
    Column("stock", Quantity),
    comment="written by a trigger whenever one of these changes in product",
)

product_substitute = Table(
    "product_substitute",
    metadata,
    Column("product_id", Id, ForeignKey("product.id"), primary_key=True),
    Column("substitute_id", Id, ForeignKey("product.id"), primary_key=True),
)

product_cost = Table(
    "product_cost",
    metadata,
    Column("product_id", Id, ForeignKey("product.id"), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("cost", Amount, nullable=False, comment="per base unit"),
    Column("currency", Text, nullable=False),
)

price_break = Table(
    "price_break",
    metadata,
    Column("product_id", Id, ForeignKey("product.id"), primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("min_quantity", Quantity, primary_key=True),
    Column("unit_price", Amount, nullable=False),
)

price_agreement = Table(
    "price_agreement",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("customer_id", Id, ForeignKey("customer.id")),
    Column("segment", Text, comment="of customers; NULL where it is with one customer"),
    Column("product_id", Id, ForeignKey("product.id")),
    Column("category", Text, comment="of products; NULL where it is about one product"),
    Column("currency", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, comment="the last day; NULL: until further notice"),
    Column("unit_price", Amount, nullable=False, comment="per base unit, net"),
    CheckConstraint("num_nonnulls(customer_id, segment) = 1", name="one_party"),
    CheckConstraint("num_nonnulls(product_id, category) = 1", name="one_object"),
    # Each way to look one up is a prefix of it: NULLs are equal, and found by the index.
    UniqueConstraint(
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

fx_rate = Table(
    "fx_rate",
    metadata,
    Column("currency", Text, primary_key=True),
    Column("valid_on", Date, primary_key=True),
    Column("rate", Numeric(18, 8), nullable=False, comment="units of base currency for one unit of currency"),
)
