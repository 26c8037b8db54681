"""The task table, which is the queue (see shared.tasks)."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.tables.base import Id, Moment, PublicId, metadata

task = Table(
    "task",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, comment="what it is about, with its version"),
    Column(
        "state", Text, nullable=False, server_default=text("'ready'"), comment="ready, leased, done, dead"
    ),
    Column("run_at", Moment, nullable=False, server_default=text("now()"), comment="database clock"),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("lease_until", Moment),
    Column("lease_token", PublicId),
    Column("lease_size", Integer, comment="how many tasks were claimed together"),
    Column("error", Text),
    Column("created_at", Moment, nullable=False, server_default=text("now()")),
    Column("finished_at", Moment),
    UniqueConstraint("kind", "key"),
    CheckConstraint("(state = 'leased') = (lease_token IS NOT NULL)", name="leased_has_token"),
    Index("ix_task_due", "kind", "run_at", "id", postgresql_where=text("state = 'ready'")),
    Index("ix_task_leased", "kind", "lease_until", postgresql_where=text("state = 'leased'")),
    Index("ix_task_dead", "queue", postgresql_where=text("state = 'dead'")),
    Index("ix_task_done", "finished_at", postgresql_where=text("state = 'done'")),
)
