"""Runs of the models, whose derived tables are made from their own schemas, and evaluations of day kinds."""

from sqlalchemy import CheckConstraint, Column, Date, Identity, Index, Integer, Table, Text, text

from shared.tables.base import Id, Json, Moment, metadata

model_run = Table(
    "model_run",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False, comment="candidate, current, rejected or superseded"),
    Column("as_of", Moment, nullable=False, comment="facts before this moment, none after"),
    Column("started_at", Moment, nullable=False, server_default=text("now()")),
    Column("finished_at", Moment),
    Column("version", Text, nullable=False, comment="of the model"),
    Column("grade", Json, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("state IN ('candidate', 'current', 'rejected', 'superseded')", name="state"),
    Index("uq_model_run_current", "model", unique=True, postgresql_where=text("state = 'current'")),
)

first_evaluation = Table(
    "first_evaluation",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("version", Text, primary_key=True, comment="of the detector, and of its model"),
    Column("day", Date, nullable=False, comment="what was so long before opens nothing"),
    Column("old", Integer, nullable=False, comment="how much was found on that day that opened nothing"),
)

evaluation = Table(
    "evaluation",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("as_of", Moment, nullable=False, comment="business time of the last evaluation"),
    Column(
        "seen_until",
        Moment,
        nullable=False,
        comment="database clock: orders applied since were not seen, but for some minutes of overlap",
    ),
    comment="the last evaluation of each kind that looks at days",
)
