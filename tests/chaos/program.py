"""A worker to be killed: doubles facts into effects. What it must do to a fact stands in the fact itself.

Effects have no unique key on purpose: only the task core keeps them from being doubled.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from shared import tasks, worker
from shared.db import DRAIN, Database
from shared.tasks import Handler, Tally, Task

QUEUE = "chaos"
KIND = "double"
NOTED = "pid int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()"
TABLES = (
    "CREATE TABLE fact (id bigint PRIMARY KEY, value bigint NOT NULL, deed text NOT NULL)",
    f"CREATE TABLE effect (fact_id bigint NOT NULL, value bigint NOT NULL, {NOTED})",
    f"CREATE TABLE attempt_log (fact_id bigint NOT NULL, {NOTED})",
)


class Doubler:
    """Stores twice the value of each fact, together with finishing its task."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, batch: Sequence[Task]) -> Tally:
        """Do a batch: note the attempt, do what the facts ask, store the effects."""
        keys = [int(task.key) for task in batch]
        with self._database.transaction() as connection:
            noted = "INSERT INTO attempt_log (fact_id, pid) SELECT id, :pid FROM unnest(CAST(:keys AS bigint[])) id"
            connection.execute(text(noted), {"keys": keys, "pid": os.getpid()})
        with self._database.transaction() as connection:
            facts = connection.execute(
                text("SELECT id, value, deed FROM fact WHERE id = ANY(:keys)"), {"keys": keys}
            )
            effects = [
                {"id": fact.id, "value": done(fact.deed, fact.value), "pid": os.getpid()} for fact in facts
            ]
            connection.execute(
                text("INSERT INTO effect (fact_id, value, pid) VALUES (:id, :value, :pid)"), effects
            )
            tasks.complete(connection, batch)
        return Tally({("signals", "chaos"): len(batch)})


def done(deed: str, value: int) -> int:
    """Do as the fact asks."""
    match deed.split():
        case ["raise"]:
            raise ValueError(f"cannot double {value}")
        case ["exit"]:
            os._exit(17)
        case ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["sleep", seconds]:
            time.sleep(float(seconds))
    return value * 2


def main() -> None:
    """Run until SIGTERM, then print what was counted."""
    database_url, redis_url, lease, batch = sys.argv[1:]
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    database = Database(database_url, DRAIN)
    handler = Handler(
        KIND,
        Doubler(database).run,
        batch=int(batch),
        lease=timedelta(seconds=float(lease)),
        max_attempts=3,
        retry=(timedelta(seconds=0.3),),
    )
    counted = Tally()
    worker.STOP_SECONDS = 3.0
    worker.Worker(QUEUE, database, [handler], redis_url or None, counted.update).run()
    print(json.dumps({" ".join(name): number for name, number in counted.items()}))


if __name__ == "__main__":
    main()
