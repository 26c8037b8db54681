"""Reps, users, territories, who owns which customer since when, and targets."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.tables.base import Amount, Id, metadata

rep = Table(
    "rep",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("external_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("phone", Text),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
    Column("manager_id", Id, ForeignKey("rep.id")),
    Column("is_default_owner", Boolean, nullable=False, server_default=text("false")),
    Index("uq_rep_default_owner", "is_default_owner", unique=True, postgresql_where=text("is_default_owner")),
)

user = Table(
    "user",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False, comment="rep, manager or operator"),
    Column("rep_id", Id, ForeignKey("rep.id"), unique=True, comment="the rep this user is, if one"),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
)

territory = Table(
    "territory",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("external_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("region", Text),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("customer_id", Id, ForeignKey("customer.id")),
    Column("territory_id", Id, ForeignKey("territory.id")),
    Column("rep_id", Id, ForeignKey("rep.id"), nullable=False),
    Column("valid_from", Date, nullable=False),
    CheckConstraint("(customer_id IS NULL) <> (territory_id IS NULL)", name="one_subject"),
    Index("uq_assignment_customer", "customer_id", "valid_from", unique=True),
    Index("uq_assignment_territory", "territory_id", "valid_from", unique=True),
)

target = Table(
    "target",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("rep_id", Id, ForeignKey("rep.id")),
    Column("territory_id", Id, ForeignKey("territory.id")),
    Column("period_start", Date, nullable=False),
    Column("period_end", Date, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", Text, nullable=False),
    CheckConstraint("(rep_id IS NULL) <> (territory_id IS NULL)", name="one_subject"),
    UniqueConstraint("rep_id", "period_start", "period_end"),
    UniqueConstraint("territory_id", "period_start", "period_end"),
)
