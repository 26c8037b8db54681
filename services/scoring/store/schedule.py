"""Say which fits and judgements are due. Any number of schedulers may ask."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

# Once a night, and at once where a model has no run yet and there is history to learn from. Looked for first: the
# sweeper asks twice a second, and an insert that conflicts is not free.
_FITS = text("""
    WITH clock AS (SELECT now() AT TIME ZONE 'UTC' AS at), wanted AS (
        SELECT to_char(at, 'YYYY-MM-DD') || ':' || model AS key
        FROM clock, unnest(CAST(:models AS text[])) AS asked (model)
        WHERE at::time >= time '02:00' AND EXISTS (SELECT FROM sales_order)
        UNION ALL
        SELECT to_char(at, '"first "YYYY-MM-DD HH24"h"') || ':' || model
        FROM clock, unnest(CAST(:models AS text[])) AS asked (model)
        WHERE NOT EXISTS (SELECT FROM model_run WHERE state = 'current' AND model_run.model = asked.model)
          AND EXISTS (SELECT FROM import_run WHERE entity = 'orders' AND finished_at IS NOT NULL)
          AND NOT EXISTS (SELECT FROM import_run WHERE finished_at IS NULL AND started_at > now() - interval '1 hour')
    )
    SELECT key FROM wanted WHERE NOT EXISTS (SELECT FROM task WHERE task.kind = 'fit' AND task.key = wanted.key)
""")


def fits_due(connection: Connection, models: Sequence[str]) -> list[str]:
    """Return the keys of the fits that should be put now: one for each model."""
    return [row.key for row in connection.execute(_FITS, {"models": list(models)})]


# After the night's fit, when there is one: kinds read what it wrote.
_JUDGEMENTS = text("""
    SELECT today.day || ':' || kind AS key
    FROM to_char(now() AT TIME ZONE :zone, 'YYYY-MM-DD') AS today (day), unnest(CAST(:kinds AS text[])) AS kind
    WHERE (now() AT TIME ZONE :zone)::time >= time '03:00'
      AND EXISTS (SELECT FROM sales_order)
      AND NOT EXISTS (SELECT FROM task WHERE kind = 'fit' AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE task.kind = 'judge' AND key = today.day || ':' || kind)
""")


def judgements_due(connection: Connection, kinds: Sequence[str], zone: str) -> list[str]:
    """Return the keys of the judgements that should be put now: one a day and kind, by the company's calendar."""
    return [row.key for row in connection.execute(_JUDGEMENTS, {"kinds": list(kinds), "zone": zone})]
