"""Events: every message that came in, with its exact body; and the import runs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    text,
)

from shared.tables.base import Id, Json, Moment, PublicId, metadata

event = Table(
    "event",
    metadata,
    Column("id", PublicId, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("source", Text, nullable=False),
    Column("external_id", Text, comment="the order's id; NULL while the body could not be read"),
    Column("version", BigInteger, comment="which revision is newer; microseconds when it came from a time"),
    Column(
        "revision", BigInteger, comment="rises with every revision that was current; NULL: the version does"
    ),
    Column("digest", LargeBinary, comment="SHA-256 of the normalised order without its version"),
    Column(
        "is_current", Boolean, nullable=False, server_default=text("false"), comment="the revision that holds"
    ),
    Column("entry_point", Text, nullable=False, comment="webhook, api or import"),
    Column("state", Text, nullable=False, comment="accepted, applied, stale, quarantined, dead"),
    Column("message_id", Text, comment="the sender's id of the message"),
    Column("problem", Json, comment="why it was quarantined: a list of faults with pointers"),
    Column("headers", Json),
    Column("body", LargeBinary, comment="exact bytes; NULL for imports, whose file is the body"),
    Column("normalized", Text, comment="canonical JSON of shared.domain.order.Order; NULL for imports"),
    Column("flags", Json, comment="what a person should know of an order that was taken: totals that differ"),
    Column("import_run_id", Id),
    Column("received_at", Moment, nullable=False, server_default=text("now()")),
    Column("applied_at", Moment),
    CheckConstraint("NOT is_current OR external_id IS NOT NULL", name="current_is_readable"),
    Index("uq_event_current", "source", "external_id", unique=True, postgresql_where=text("is_current")),
    Index(
        "ix_event_not_current", "source", "external_id", "version", postgresql_where=text("NOT is_current")
    ),
    Index("ix_event_flagged", "received_at", postgresql_where=text("flags IS NOT NULL")),
    Index("ix_event_quarantined", "received_at", postgresql_where=text("state IN ('quarantined', 'dead')")),
)

import_run = Table(
    "import_run",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("entity", Text, nullable=False, comment="what was loaded: orders, customers, products ..."),
    Column("source", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("started_at", Moment, nullable=False, server_default=text("now()")),
    Column("finished_at", Moment),
    Column("counts", Json, comment="rows read, stored, repeated, rejected by reason; totals"),
)
