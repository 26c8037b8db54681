"""Customers, the names upstream systems know them by, contacts with them, and holds on them."""

from sqlalchemy import Boolean, Column, Date, ForeignKey, Identity, Index, Table, Text, text

from shared.tables.base import Id, Moment, metadata

customer = Table(
    "customer",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("name", Text),
    Column(
        "status", Text, nullable=False, server_default=text("'active'"), comment="active, blocked, closed"
    ),
    Column("is_internal", Boolean, nullable=False, server_default=text("false")),
    Column("parent_id", Id, ForeignKey("customer.id")),
    Column(
        "merged_into_id", Id, ForeignKey("customer.id"), comment="the merge map: facts count for that one"
    ),
    Column("segment", Text),
    Column("region", Text),
    Column("territory_id", Id, ForeignKey("territory.id")),
    Column("country", Text),
    Column("city", Text),
    Column("channel", Text),
    Column("phone", Text),
    Column("email", Text),
    Column("currency", Text),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_customer_parent_id", "parent_id"),
)

customer_ref = Table(
    "customer_ref",
    metadata,
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("customer_id", Id, ForeignKey("customer.id"), nullable=False),
    Index("ix_customer_ref_customer_id", "customer_id"),
)

customer_history = Table(
    "customer_history",
    metadata,
    Column("customer_id", Id, ForeignKey("customer.id"), primary_key=True),
    Column(
        "valid_from",
        Moment,
        primary_key=True,
        comment="database clock; the first row also holds for what was before it",
    ),
    Column("status", Text, nullable=False),
    Column("segment", Text),
    comment="written by a trigger whenever one of these changes in customer",
)

contact = Table(
    "contact",
    metadata,
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("customer_id", Id, ForeignKey("customer.id"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("channel", Text, comment="phone, mail, visit ..."),
    Column("made_by", Text, comment="who spoke with the customer, as upstream names them"),
    Column("result", Text),
    Index("ix_contact_customer_id_at", "customer_id", "at"),
)

hold = Table(
    "hold",
    metadata,
    Column("customer_id", Id, ForeignKey("customer.id"), primary_key=True),
    Column("kind", Text, primary_key=True, comment="credit_hold, complaint, other"),
    Column("valid_from", Date, primary_key=True),
    Column(
        "reference",
        Text,
        primary_key=True,
        server_default=text("''"),
        comment="tells those of one kind and day apart",
    ),
    Column("valid_to", Date, comment="the last day; NULL: open"),
    Column("note", Text),
    comment="while one is open, nothing is sold to the customer",
)
