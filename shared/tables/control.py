"""Who may call, what an operator has switched, and the record of it."""

from sqlalchemy import Column, ForeignKey, Identity, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from shared.tables.base import Id, Json, Moment, metadata

api_token = Table(
    "api_token",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the token"),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False, comment="the identity of orders posted with it"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("expires_at", Moment),
)

control = Table(
    "control",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Json, nullable=False),
    Column("changed_at", Moment, nullable=False, server_default=text("now()")),
    Column("changed_by", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=text("now()")),
    Column("actor", Text, nullable=False),
    Column("actor_id", Id, ForeignKey("user.id"), comment="the user who acted, where one is known"),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", Json),
)
