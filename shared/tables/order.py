"""Orders and their lines (facts), and what each customer buys of each product (state derived from them)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.tables.base import Amount, Id, Moment, PublicId, Quantity, metadata

sales_order = Table(
    "sales_order",
    metadata,
    Column("id", Id, Identity(always=False), primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("event_id", PublicId, nullable=False),
    Column("number", Text),
    Column("channel", Text),
    Column("status", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("is_test", Boolean, nullable=False, server_default=text("false")),
    Column("is_history", Boolean, nullable=False, server_default=text("false"), comment="came by import"),
    Column(
        "is_counted", Boolean, nullable=False, comment="confirmed or closed, no test: its lines are trade"
    ),
    Column("ordered_at", Moment, nullable=False),
    Column("currency", Text, nullable=False),
    Column("customer_id", Id, ForeignKey("customer.id"), comment="NULL: a guest"),
    Column("rep_external_id", Text),
    Column("original_order_id", Text),
    Column("net", Amount, nullable=False, comment="own currency, ex tax"),
    Column("base_net", Amount, comment="base currency; NULL while no rate is known"),
    Column("applied_at", Moment, nullable=False, server_default=text("now()")),
    UniqueConstraint("source", "external_id"),
    Index("ix_sales_order_customer", "customer_id", "ordered_at"),
    Index("ix_sales_order_event", "event_id"),
    Index("ix_sales_order_ordered_at", "ordered_at", postgresql_using="brin"),
    Index("ix_sales_order_applied_at", "applied_at", postgresql_using="brin"),
)

order_line = Table(
    "order_line",
    metadata,
    Column(
        "order_id", Id, primary_key=True, comment="sales_order.id; no foreign key: partitions come and go"
    ),
    Column("line_no", Integer, primary_key=True),
    Column("ordered_at", Moment, primary_key=True),
    Column("customer_id", Id, comment="copied from the order: lines are read by customer"),
    Column("product_id", Id, comment="NULL for freight, fees and manual lines"),
    Column("external_id", Text, nullable=False, comment="the line's id, else its position"),
    Column(
        "parent_line_id", Text, comment="external_id of the line this one is part of: a bundle's, a set's"
    ),
    Column("kind", Text, nullable=False),
    Column("is_counted", Boolean, nullable=False, comment="copied from the order"),
    Column("quantity", Quantity, nullable=False, comment="base units; negative when given back"),
    Column("net", Amount, nullable=False, comment="own currency, after line and order discount, ex tax"),
    Column("base_net", Amount, comment="base currency; NULL while no rate is known"),
    Column(
        "base_unit_cost", Amount, comment="base currency per base unit, valid that day; NULL when unknown"
    ),
    Column("title", Text),
    Column("returns_order_id", Text),
    Column("returns_line_id", Text),
    Column("return_reason", Text),
    Index("ix_order_line_customer", "customer_id", "product_id", "ordered_at"),
    postgresql_partition_by="RANGE (ordered_at)",
)

customer_item = Table(
    "customer_item",
    metadata,
    Column("customer_id", Id, primary_key=True),
    Column("product_id", Id, primary_key=True),
    Column("order_days", Integer, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column(
        "recent_at", ARRAY(Moment), nullable=False, comment="the last eight priced purchases, newest first"
    ),
    Column("recent_quantity", ARRAY(Quantity), nullable=False),
    Column("recent_price", ARRAY(Amount), nullable=False, comment="unit price in the order's own currency"),
    Column("recent_currency", ARRAY(Text), nullable=False),
)
