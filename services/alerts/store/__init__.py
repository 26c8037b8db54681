"""The only files of the alerts service that speak SQL."""

from sqlalchemy import Connection, text


def fresh_plans(connection: Connection) -> None:
    """Have every statement of this transaction planned for its values, and for the tables as they are now.

    A prepared statement keeps a plan made when the tables were small, and would read them whole when they are not.
    """
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
