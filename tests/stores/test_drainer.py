"""Draining on a real PostgreSQL: a bad order costs its neighbours nothing, and a database that goes away even less."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from shared import tasks
from shared.db import DRAIN, Database, Timeouts, is_away
from shared.drainer import RECENT_TOKENS, Drainer
from shared.tasks import Handler, LeaseLost, Tally, Task
from tests import task_rows
from tests.task_rows import SECOND, a_handler, cut, put, standing

Run = Callable[[Sequence[Task]], Tally]


class Bench:
    """A drainer of one kind that records what it was given and what was counted."""

    def __init__(self, database: Database, run: Run | None = None, **given: object) -> None:
        self.database = database
        self.batches: list[list[str]] = []
        self.counted = Tally()
        self._run = run or self.finish
        self.handler = a_handler(self._record, **given)
        self.drainer = Drainer(database, [self.handler], self.counted.update)

    def _record(self, batch: Sequence[Task]) -> Tally:
        self.batches.append([task.key for task in batch])
        return self._run(batch)

    def finish(self, batch: Sequence[Task]) -> Tally:
        """Do the tasks."""
        task_rows.complete(self.database, batch)
        return Tally()

    def outcome(self, name: str) -> int:
        """How many tasks were counted as ended so."""
        return self.counted["tasks", "work", name]


def refuses(*bad: str) -> Callable[[Bench], Run]:
    """A handler that raises for some keys, before anything is stored."""

    def made(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            if wrong := {task.key for task in batch} & set(bad):
                raise ValueError(f"cannot read {sorted(wrong)}")
            return bench.finish(batch)

        return run

    return made


def bench_that(database: Database, make: Callable[[Bench], Run], **given: object) -> Bench:
    """A bench whose handler knows its bench."""
    bench = Bench(database, None, **given)
    bench._run = make(bench)
    return bench


def test_works_in_batches_until_nothing_is_due(database: Database) -> None:
    bench = Bench(database)
    put(database, *map(str, range(25)))
    assert bench.drainer.drain() == 25
    assert [len(batch) for batch in bench.batches] == [10, 10, 5]
    assert bench.outcome("done") == 25


def test_only_the_culprit_of_a_failing_batch_is_put_off(database: Database) -> None:
    bench = bench_that(database, refuses("4"))
    put(database, *map(str, range(10)))
    bench.drainer.drain()
    assert {key: each.state for key, each in standing(database).items() if each.state != "done"} == {
        "4": "ready"
    }
    assert {each.attempts for each in standing(database).values()} == {1}
    assert (bench.outcome("done"), bench.outcome("retried"), bench.outcome("dead")) == (9, 1, 0)
    waits = task_rows.value(database, "SELECT run_at > now() FROM task WHERE key = '4'")
    assert waits is True


def test_a_task_that_always_fails_follows_its_schedule_and_ends_dead(database: Database) -> None:
    delays = (timedelta(seconds=5), timedelta(minutes=2))
    bench = bench_that(database, refuses("bad"), max_attempts=4, retry=delays)
    put(database, "bad")
    waited = []
    for _ in range(4):
        bench.drainer.drain()
        wait = task_rows.value(database, "SELECT round(extract(epoch FROM run_at - now()))::int FROM task")
        waited.append(wait)
        task_rows.let_delays_pass(database)
    assert waited[:3] == [5, 120, 120]
    assert standing(database) == {"bad": ("dead", 4)}
    assert (bench.outcome("retried"), bench.outcome("dead")) == (3, 1)
    assert task_rows.value(database, "SELECT error FROM task") == "ValueError: cannot read ['bad']"


def test_a_bad_task_beside_new_ones_each_time_never_spends_theirs(database: Database) -> None:
    bench = bench_that(database, refuses("bad"), max_attempts=3)
    put(database, "bad")
    for round_ in range(3):
        put(database, *(f"{round_}-{number}" for number in range(9)))
        task_rows.let_delays_pass(database)
        bench.drainer.drain()
    after = standing(database)
    assert after.pop("bad") == ("dead", 3)
    assert set(after.values()) == {("done", 1)}


def test_a_lost_lease_costs_the_rest_of_the_batch_no_attempt(database: Database) -> None:
    thief: list[Task] = []

    def slow_once(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            if not thief:
                task_rows.let_leases_run_out(database)
                thief.extend(task_rows.claim_expired(database))
            return bench.finish(batch)

        return run

    bench = bench_that(database, slow_once)
    put(database, "1", "2", "3")
    bench.drainer.drain()
    bench.drainer._looked_for_expired_at = float("-inf")
    bench.drainer.drain()
    left = {key: each for key, each in standing(database).items() if each.state != "done"}
    assert left == {thief[0].key: ("leased", 1)}
    assert bench.outcome("lease_lost") == 3
    assert bench.outcome("done") == 2


def test_a_task_that_dies_with_its_worker_ends_dead_and_is_counted(database: Database) -> None:
    bench = Bench(database, max_attempts=2)
    put(database, "poison")
    for _ in range(2):
        task_rows.claim(database, bench.handler) or task_rows.claim_expired(database, bench.handler)
        task_rows.let_leases_run_out(database)
    bench.drainer.drain()
    assert standing(database) == {"poison": ("dead", 2)}
    assert bench.outcome("dead") == 1
    assert bench.batches == []


def cuts_its_connection(database: Database, times: int, only: str | None = None) -> Callable[[Bench], Run]:
    """A handler whose connection breaks in the middle, some times."""
    left = [times]

    def made(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            is_hit = only is None or only in {task.key for task in batch}
            with database.transaction() as connection:
                connection.execute(text("SELECT 1"))
                if left[0] and is_hit:
                    left[0] -= 1
                    cut(database)
                tasks.complete(connection, batch)
            return Tally()

        return run

    return made


def test_when_the_database_goes_away_nothing_is_spent_and_nobody_waits_for_a_lease(
    database: Database,
) -> None:
    bench = bench_that(database, cuts_its_connection(database, times=1))
    put(database, "1", "2", "3")
    bench.drainer.drain()
    bench.drainer.drain()
    assert set(standing(database).values()) == {("done", 1)}
    assert (bench.outcome("retried"), bench.outcome("dead")) == (0, 0)
    assert bench.batches == [["1", "2", "3"], ["1"], ["2", "3"]]


def test_only_the_task_that_is_alone_when_its_connection_breaks_spends_its_attempt(
    database: Database,
) -> None:
    bench = bench_that(database, cuts_its_connection(database, times=2))
    put(database, "1", "2", "3")
    for _ in range(3):
        bench.drainer.drain()
    assert bench.batches == [["1", "2", "3"], ["1"], ["2"], ["3"]]
    task_rows.let_delays_pass(database)
    bench.drainer.drain()
    assert {key: each.attempts for key, each in standing(database).items()} == {"1": 2, "2": 1, "3": 1}


def test_a_done_that_a_crash_takes_back_is_done_again_at_once(database: Database) -> None:
    tokens: list[UUID] = []

    def remembers(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            tokens.append(batch[0].token)
            return bench.finish(batch)

        return run

    bench = bench_that(database, remembers)
    put(database, "1", "2")
    for _ in range(RECENT_TOKENS + 1):  # looks that find nothing do not push out what was done
        bench.drainer.drain()
    with database.transaction() as connection:  # as a crash does with a commit that did not wait for the disk
        connection.execute(
            text(
                "UPDATE task SET state = 'leased', lease_token = :token, finished_at = NULL,"
                " lease_until = now() + interval '30 s'"
            ),
            {"token": tokens[0]},
        )
    cut(database)
    for _ in range(2):
        bench.drainer.drain()
    assert set(standing(database).values()) == {("done", 1)}
    assert bench.batches == [["1", "2"], ["1", "2"]]


def test_a_claim_whose_answer_is_lost_is_claimed_again_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_after(connection: Connection, handler: Handler, token: UUID) -> list[Task]:
        claimed = claim(connection, handler, token)
        assert [task.key for task in claimed] == ["1", "2"]
        cut(database)
        connection.execute(text("SELECT 1"))
        return claimed

    claim = tasks.claim
    bench = Bench(database)
    put(database, "1", "2")
    with monkeypatch.context() as lost:
        lost.setattr(tasks, "claim", cut_after)
        bench.drainer.drain()
    assert set(standing(database).values()) == {("leased", 1)}
    bench.drainer.drain()
    assert (set(standing(database).values()), bench.batches) == ({("done", 1)}, [["1", "2"]])


def test_what_is_in_hand_elsewhere_is_not_given_back(database: Database) -> None:
    put(database, "theirs")
    theirs = task_rows.claim(database)
    bench = Bench(database)
    cut(database)
    for _ in range(2):
        bench.drainer.drain()
    assert standing(database)["theirs"] == ("leased", 1)
    task_rows.complete(database, theirs)


def test_a_row_that_a_broken_connection_still_holds_stops_nobody(
    database: Database, database_url: str
) -> None:
    bench = Bench(database)
    put(database, "held")
    held = task_rows.claim(database)
    put(database, "free")
    zombie = Database(database_url, DRAIN)
    with zombie.transaction() as connection:
        connection.execute(text("SELECT FROM task WHERE key = 'held' FOR UPDATE"))
        bench.drainer._recent.append(held[0].token)
        database.breaks += 1
        bench.drainer.drain()
        assert bench.batches == [["free"]]
    zombie.close()


def test_a_batch_that_meets_the_lock_of_others_is_deferred_whole_and_unspent(
    database: Database, database_url: str
) -> None:
    def wants_a_lock(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            with database.transaction() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(7)"))
                tasks.complete(connection, batch)
            return Tally()

        return run

    bench = bench_that(database, wants_a_lock, max_attempts=1)
    put(database, "1", "2", "3")
    other = Database(database_url, DRAIN)
    with other.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7)"))
        for _ in range(3):
            task_rows.let_delays_pass(database)
            bench.drainer.drain()
        assert set(standing(database).values()) == {("ready", 0)}
        assert bench.batches == [["1", "2", "3"]] * 3
    other.close()
    task_rows.let_delays_pass(database)
    bench.drainer.drain()
    assert set(standing(database).values()) == {("done", 1)}


def test_a_task_that_breaks_the_connection_each_time_dies_alone(database: Database) -> None:
    bench = bench_that(database, cuts_its_connection(database, times=99, only="bad"), max_attempts=3)
    put(database, "1", "bad", "3")
    for _ in range(12):
        bench.drainer.drain()
        task_rows.let_delays_pass(database)
    assert standing(database)["bad"].state == "dead"
    assert {standing(database)[key] for key in "13"} == {("done", 1)}


def test_a_database_that_is_away_is_said_once_and_its_return_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", Timeouts(statement=1, lock=1))
    bench = Bench(elsewhere)
    with caplog.at_level("INFO", "shared.drainer"):
        for _ in range(3):
            assert bench.drainer.drain() == 0
        bench.drainer._database = database
        bench.drainer.drain()
        bench.drainer.drain()
    elsewhere.close()
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == ["the database does not answer", "the database answers again"]


def test_a_full_disk_is_nobodys_fault(database: Database) -> None:
    def full_once(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            if len(bench.batches) == 1:
                with database.transaction() as connection:
                    connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"))
            return bench.finish(batch)

        return run

    bench = bench_that(database, full_once)
    put(database, "1", "2")
    bench.drainer.drain()
    bench.drainer.drain()
    assert set(standing(database).values()) == {("done", 1)}


def test_a_statement_that_takes_too_long_is_the_batchs_own_fault(database: Database) -> None:
    def too_slow_together(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            with database.transaction() as connection:
                connection.execute(text("SET LOCAL statement_timeout = 20"))
                if len(batch) > 1:
                    connection.execute(text("SELECT pg_sleep(1)"))
            return bench.finish(batch)

        return run

    bench = bench_that(database, too_slow_together)
    put(database, "1", "2")
    bench.drainer.drain()
    assert bench.batches == [["1", "2"], ["1"], ["2"]]


def test_a_batch_that_takes_longer_than_its_lease_keeps_it(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            begun.set()
            assert go_on.wait(10)
            return bench.finish(batch)

        return run

    lease = timedelta(seconds=0.3)
    bench = bench_that(database, slow, lease=lease)
    put(database, "1", "2")
    worker = threading.Thread(target=bench.drainer.drain)
    worker.start()
    assert begun.wait(10)
    stolen = []
    until = time.monotonic() + 1
    while time.monotonic() < until:
        bench.drainer.renew_leases()
        stolen += task_rows.claim_expired(database, bench.handler)
        time.sleep(0.03)
    go_on.set()
    worker.join()
    assert stolen == []
    assert set(standing(database).values()) == {("done", 1)}


def test_a_hung_batch_loses_its_lease_in_the_end(database: Database) -> None:
    def hang(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                bench.drainer.renew_leases()
                if task_rows.claim_expired(database, bench.handler):
                    raise LeaseLost("taken over")
                time.sleep(0.03)
            return bench.finish(batch)

        return run

    bench = bench_that(database, hang, lease=timedelta(seconds=0.3), hung_after=timedelta(seconds=0.5))
    put(database, "1")
    bench.drainer.drain()
    assert bench.outcome("lease_lost") == 1


def test_a_batch_that_may_take_any_time_keeps_its_lease_while_its_process_lives(database: Database) -> None:
    stolen: list[Task] = []

    def long(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            for running in bench.drainer._running.values():
                running.since -= timedelta(days=1).total_seconds()  # as if it had run for a day
            until = time.monotonic() + 1
            while time.monotonic() < until:
                bench.drainer.renew_leases()
                stolen.extend(task_rows.claim_expired(database, bench.handler))
                time.sleep(0.03)
            return bench.finish(batch)

        return run

    bench = bench_that(database, long, lease=timedelta(seconds=0.3), hung_after=None)
    put(database, "fit")
    bench.drainer.drain()
    assert (stolen, standing(database)["fit"]) == ([], ("done", 1))


def test_another_thread_does_other_kinds_while_one_takes_long_but_never_the_same(database: Database) -> None:
    go_on, begun = threading.Event(), threading.Event()
    done: list[tuple[str, str]] = []

    def run(kind: str) -> Run:
        def do(batch: Sequence[Task]) -> Tally:
            done.append((kind, threading.current_thread().name))
            if kind == "fit":
                begun.set()
                assert go_on.wait(10)
            task_rows.complete(database, batch)
            return Tally()

        return do

    kinds = [a_handler(run(kind), kind=kind, batch=1) for kind in ("fit", "score")]
    drainer = Drainer(database, kinds, lambda _: None)
    put(database, "1", "2", kind="fit")
    main = threading.Thread(target=drainer.drain, name="main")
    main.start()
    assert begun.wait(10)
    put(database, "1", "2", kind="score")
    assert drainer.drain() == 2
    assert done[1:] == [("score", threading.current_thread().name)] * 2
    go_on.set()
    main.join()


def test_stopping_takes_no_further_batch(database: Database) -> None:
    def stop_after_first(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            bench.drainer.stop()
            return bench.finish(batch)

        return run

    bench = bench_that(database, stop_after_first)
    put(database, *map(str, range(25)))
    assert bench.drainer.drain() == 10


def test_releasing_what_runs_leaves_a_batch_that_somebody_else_can_do(database: Database) -> None:
    def release_running(bench: Bench) -> Run:
        def run(batch: Sequence[Task]) -> Tally:
            bench.drainer.release_running()
            assert set(standing(database).values()) == {("ready", 0)}
            bench.drainer.stop()
            return bench.finish(batch)

        return run

    bench = bench_that(database, release_running)
    put(database, "1", "2")
    bench.drainer.drain()
    assert set(standing(database).values()) == {("ready", 0)}
    Bench(database).drainer.drain()
    assert set(standing(database).values()) == {("done", 1)}


def test_what_a_handler_counts_itself_is_not_counted_again_as_done(database: Database) -> None:
    def one_later(batch: Sequence[Task]) -> Tally:
        with database.transaction() as connection:
            tasks.retry(connection, batch[0], SECOND, "busy")
            tasks.complete(connection, batch[1:])
        return Tally({("tasks", "work", "retried"): 1, ("signals", "margin"): 2})

    bench = Bench(database, one_later)
    put(database, "1", "2", "3")
    bench.drainer.drain()
    assert (bench.outcome("done"), bench.outcome("retried")) == (2, 1)
    assert bench.counted["signals", "margin"] == 2


def test_a_figure_nobody_listed_does_not_undo_the_work(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def count(_: Tally) -> None:
        raise KeyError("signals")

    bench = Bench(database)
    bench.drainer = Drainer(database, [bench.handler], count)
    put(database, "1")
    assert bench.drainer.drain() == 1
    assert standing(database)["1"].state == "done"
    assert "cannot count" in caplog.text


def test_an_idle_look_costs_one_statement_a_kind(database: Database) -> None:
    kinds: list[Handler] = [a_handler(kind=kind) for kind in ("one", "two")]
    drainer = Drainer(database, kinds, lambda _: None)
    drainer.drain()
    statements: list[str] = []

    def note(*call: Any) -> None:
        statements.append(call[2])

    event.listen(Engine, "before_cursor_execute", note)
    drainer.drain()
    event.remove(Engine, "before_cursor_execute", note)
    assert len(statements) == 2


def test_cutting_a_connection_is_seen_as_away(database: Database) -> None:
    with pytest.raises(OperationalError) as caught, database.transaction() as connection:
        connection.execute(text("SELECT 1"))
        cut(database)
        connection.execute(text("SELECT 1"))
    assert is_away(caught.value)
