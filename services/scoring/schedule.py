"""When scoring's tasks are put, by the business clock: fits and day kinds each night, then outcomes, and every hour.

Each task has a key of its own for its day or hour, so that any number of workers may look.
"""

from sqlalchemy import Connection, text

from services.scoring import signals
from services.scoring.facts import OrderFacts
from services.scoring.fit import models as fitted_models
from shared import tasks
from shared.clock import Clock
from shared.domain.signal import DaySignalKind, SignalKind
from shared.plugins import discover, module_names
from shared.settings import Settings
from shared.worker import Periodic

# Once a night, and at once where a model has no run yet and there is history to learn from. Looked for first: the
# sweeper asks twice a second, and an insert that conflicts is not free.
_FITS_DUE = text("""
    WITH clock AS (SELECT CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS at), wanted AS (
        SELECT to_char(at, 'YYYY-MM-DD') || ':' || model AS key
        FROM clock, unnest(CAST(:models AS text[])) AS asked (model)
        WHERE at::time >= time '02:00' AND EXISTS (SELECT FROM sales_order)
        UNION ALL
        SELECT to_char(now() AT TIME ZONE 'UTC', '"first "YYYY-MM-DD HH24"h"') || ':' || model
        FROM unnest(CAST(:models AS text[])) AS asked (model)
        WHERE NOT EXISTS (SELECT FROM model_run WHERE state = 'current' AND model_run.model = asked.model)
          AND EXISTS (SELECT FROM import_run WHERE entity = 'orders' AND finished_at IS NOT NULL)
          AND NOT EXISTS (SELECT FROM import_run WHERE finished_at IS NULL AND started_at > now() - interval '1 hour')
    )
    SELECT key FROM wanted WHERE NOT EXISTS (SELECT FROM task WHERE task.kind = 'fit' AND task.key = wanted.key)
""")

# After the night's fit, when there is one: kinds read what it wrote. The first time as soon as models stand: whoever
# starts an installation after midnight does not wait until three to see something.
_DAYS_DUE = text("""
    SELECT today.day || ':' || kind AS key
    FROM to_char(CAST(:now AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD') AS today (day),
         unnest(CAST(:kinds AS text[])) AS kind
    WHERE ((CAST(:now AS timestamptz) AT TIME ZONE :zone)::time >= time '03:00'
           OR EXISTS (SELECT FROM model_run WHERE state = 'current') AND NOT EXISTS (SELECT FROM evaluation))
      AND EXISTS (SELECT FROM sales_order)
      AND NOT EXISTS (SELECT FROM task WHERE kind = 'fit' AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE task.kind = 'evaluate' AND key = today.day || ':' || kind)
""")

# Once an hour, after the night; whether anybody's orders changed is looked up by the task.
_HOUR_DUE = text("""
    WITH clock AS (SELECT CAST(:now AS timestamptz) AT TIME ZONE :zone AS at)
    SELECT to_char(at, 'YYYY-MM-DD HH24"h"') AS key FROM clock
    WHERE EXISTS (SELECT FROM task WHERE kind = 'evaluate' AND starts_with(key, to_char(at, 'YYYY-MM-DD:')))
      AND NOT EXISTS (SELECT FROM task WHERE kind IN ('fit', 'evaluate', 'evaluate_changed')
                      AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE kind = 'evaluate_changed' AND key = to_char(at, 'YYYY-MM-DD HH24"h"'))
""")

# After the day kinds of the night.
_OUTCOMES_DUE = text("""
    SELECT today.day || ':' || kind AS key
    FROM to_char(CAST(:now AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD') AS today (day),
         unnest(CAST(:kinds AS text[])) AS kind
    WHERE EXISTS (SELECT FROM task WHERE kind = 'evaluate' AND starts_with(key, today.day || ':'))
      AND NOT EXISTS (SELECT FROM task WHERE kind IN ('fit', 'evaluate') AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE task.kind = 'observe' AND key = today.day || ':' || kind)
""")


def periodic(settings: Settings, clock: Clock) -> tuple[Periodic, ...]:
    """Return what puts tasks by the business clock: the nightly fit, the first one, the day kinds, outcomes, and hours.

    Any number of workers may run it.
    """
    kinds: dict[str, SignalKind[OrderFacts]] = discover(signals, "KIND", SignalKind)
    day_kinds = [name for name, kind in kinds.items() if isinstance(kind, DaySignalKind)]
    observed_kinds = [name for name, kind in kinds.items() if kind.outcome is not None]
    models = module_names(fitted_models)

    def put_fits(connection: Connection) -> None:
        due = connection.scalars(_FITS_DUE, {"models": models, "now": clock()}).all()
        if due:
            tasks.put(connection, "scoring", "fit", due)

    def put_days(connection: Connection) -> None:
        asked = {"kinds": day_kinds, "zone": settings.time_zone, "now": clock()}
        due = connection.scalars(_DAYS_DUE, asked).all()
        if due:
            tasks.put(connection, "scoring", "evaluate", due)

    def put_outcomes(connection: Connection) -> None:
        asked = {"kinds": observed_kinds, "zone": settings.time_zone, "now": clock()}
        due = connection.scalars(_OUTCOMES_DUE, asked).all()
        if due:
            tasks.put(connection, "scoring", "observe", due)

    def put_hour(connection: Connection) -> None:
        due = connection.scalars(_HOUR_DUE, {"zone": settings.time_zone, "now": clock()}).all()
        if due:
            tasks.put(connection, "scoring", "evaluate_changed", due)

    return (put_fits, put_days, put_outcomes, put_hour)
