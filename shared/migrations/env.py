"""What Alembic runs: the migrations, on the connection it was given."""

from typing import Any

from alembic import context

from shared.tables import metadata


def include_name(name: str | None, type_: str, _parent_names: Any) -> bool:  # noqa: ANN401 - Alembic's signature
    """Partitions are made as months come; only their parent is a table of ours."""
    return not (type_ == "table" and name is not None and name.startswith("order_line_"))


connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, include_name=include_name, transactional_ddl=True
)
context.run_migrations()
