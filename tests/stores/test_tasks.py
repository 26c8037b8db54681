"""The task table on a real PostgreSQL: once, leased, fenced, alone after a death, and in the end done or dead."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared import tasks
from shared.db import Database
from shared.metrics import backlog
from shared.tasks import LeaseLost
from tests import task_rows
from tests.task_rows import SECOND, a_handler, claim, claim_expired, complete, put, standing

HOUR = timedelta(hours=1)


def test_a_fact_that_is_rolled_back_leaves_no_task(database: Database) -> None:
    class Interrupted(Exception): ...

    with pytest.raises(Interrupted), database.transaction() as connection:
        tasks.put(connection, "test", "work", ["1"])
        raise Interrupted
    assert standing(database) == {}


def test_what_is_put_twice_is_there_once(database: Database) -> None:
    put(database, "1", "2", "2")
    put(database, "2", "3")
    assert sorted(standing(database)) == ["1", "2", "3"]


def test_what_was_done_is_not_done_again_when_put_again(database: Database) -> None:
    put(database, "1")
    complete(database, claim(database))
    put(database, "1")
    assert claim(database) == []


def test_the_same_key_may_stand_for_two_kinds(database: Database) -> None:
    put(database, "1")
    put(database, "1", kind="other")
    assert [task.kind for task in claim(database)] == ["work"]


def test_two_that_put_common_keys_at_once_do_not_lock_each_other(database: Database) -> None:
    keys = [str(number) for number in range(300)]
    failures: list[BaseException] = []

    def put_all(mine: list[str]) -> None:
        try:
            put(database, *mine)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    for _ in range(5):
        both = [threading.Thread(target=put_all, args=(each,)) for each in (keys, keys[::-1])]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        with database.transaction() as connection:
            connection.execute(text("DELETE FROM task"))
    assert failures == []


def test_a_task_waits_for_its_time(database: Database) -> None:
    with database.transaction() as connection:
        tasks.put(connection, "test", "work", ["later"], run_at=datetime.now(UTC) + HOUR)
        tasks.put(connection, "test", "work", ["now"], run_at=datetime.now(UTC) - HOUR)
    assert [task.key for task in claim(database)] == ["now"]


def test_the_oldest_are_taken_first(database: Database) -> None:
    for key in ("first", "second", "third"):
        put(database, key)
    assert [task.key for task in claim(database, a_handler(batch=2))] == ["first", "second"]


def test_two_claimers_never_hold_one_task_and_do_not_wait_for_each_other(database: Database) -> None:
    put(database, *map(str, range(20)))
    with database.transaction() as one, database.transaction() as other:
        ours = tasks.claim(one, a_handler(), uuid4())
        theirs = tasks.claim(other, a_handler(), uuid4())
    assert len(ours) == len(theirs) == 10
    assert not {task.id for task in ours} & {task.id for task in theirs}


def test_many_claimers_at_once_share_everything_and_overlap_in_nothing(database: Database) -> None:
    put(database, *map(str, range(400)))
    taken: list[list[str]] = [[] for _ in range(4)]

    def take(mine: list[str]) -> None:
        while batch := claim(database, a_handler(batch=7)):
            mine += [task.key for task in batch]

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [key for mine in taken for key in mine]
    assert len(everything) == len(set(everything)) == 400


def test_completing_in_time_is_done(database: Database) -> None:
    put(database, "1", "2")
    complete(database, claim(database))
    assert standing(database) == {"1": ("done", 1), "2": ("done", 1)}


def test_who_completes_after_another_took_over_loses_everything_of_that_transaction(
    database: Database,
) -> None:
    put(database, "1", "2")
    batch = claim(database)
    task_rows.let_leases_run_out(database)
    (stolen,) = claim_expired(database)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        tasks.put(connection, "test", "effect", [task.key for task in batch])
        tasks.complete(connection, batch)
    assert "done" not in {each.state for each in standing(database).values()}
    assert task_rows.value(database, "SELECT count(*) FROM task WHERE kind = 'effect'") == 0
    complete(database, [stolen])
    assert standing(database)[stolen.key].state == "done"


def test_a_lease_that_ran_out_unnoticed_may_still_be_finished(database: Database) -> None:
    put(database, "1")
    batch = claim(database)
    task_rows.let_leases_run_out(database)
    complete(database, batch)
    assert standing(database)["1"].state == "done"


@pytest.mark.parametrize("way", ["complete", "retry", "defer", "dead_letter", "assert_lease"])
def test_no_way_to_end_a_task_works_for_who_lost_it(database: Database, way: str) -> None:
    put(database, "1")
    (mine,) = claim(database)
    task_rows.let_leases_run_out(database)
    claim_expired(database)
    before = standing(database)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        match way:
            case "complete":
                tasks.complete(connection, [mine])
            case "retry":
                tasks.retry(connection, mine, SECOND, "no")
            case "defer":
                tasks.defer(connection, [mine], SECOND, "no")
            case "dead_letter":
                tasks.dead_letter(connection, mine, "no")
            case "assert_lease":
                tasks.assert_lease(connection, [mine], SECOND)
    assert standing(database) == before


def test_giving_back_what_was_lost_changes_nothing(database: Database) -> None:
    put(database, "1")
    batch = claim(database)
    task_rows.let_leases_run_out(database)
    claim_expired(database)
    with database.transaction() as connection:
        tasks.release(connection, [batch[0].token])
        tasks.recover(connection, [batch[0].token])
    assert standing(database) == {"1": ("leased", 2)}
    assert claim_expired(database) == []


def test_leases_are_measured_by_the_clock_of_the_database(database: Database) -> None:
    put(database, "1")
    claim(database, a_handler(lease=HOUR))
    left = task_rows.value(database, "SELECT extract(epoch FROM lease_until - now())::float8 FROM task")
    assert isinstance(left, float)
    assert 3590 < left <= 3600
    assert claim_expired(database) == []


def test_a_task_that_failed_waits_for_its_delay_and_has_spent_an_attempt(database: Database) -> None:
    put(database, "1")
    (task,) = claim(database)
    with database.transaction() as connection:
        tasks.retry(connection, task, HOUR, "ValueError: no")
    assert claim(database) == []
    task_rows.let_delays_pass(database)
    assert [each.attempts for each in claim(database)] == [2]


def test_a_deferred_task_has_spent_nothing(database: Database) -> None:
    put(database, "1")
    (task,) = claim(database)
    with database.transaction() as connection:
        tasks.defer(connection, [task], timedelta(0), "sending is stopped")
    assert [each.attempts for each in claim(database)] == [1]


def test_a_dead_task_says_why_and_is_never_claimed(database: Database) -> None:
    put(database, "1")
    (task,) = claim(database)
    with database.transaction() as connection:
        tasks.dead_letter(connection, task, "ValueError: no")
    task_rows.let_delays_pass(database)
    assert (claim(database), claim_expired(database)) == ([], [])
    assert task_rows.value(database, "SELECT error FROM task WHERE state = 'dead'") == "ValueError: no"


def test_after_a_death_each_task_of_the_batch_is_claimed_alone_with_its_attempt_back(
    database: Database,
) -> None:
    put(database, "1", "2", "3")
    claim(database)
    task_rows.let_leases_run_out(database)
    batches = [claim_expired(database) for _ in range(4)]
    assert [len(batch) for batch in batches] == [1, 1, 1, 0]
    assert [batch[0].attempts for batch in batches[:3]] == [1, 1, 1]


def test_nothing_waits_for_who_is_just_finishing(database: Database) -> None:
    put(database, "1")
    handler = a_handler()
    batch = claim(database, handler)
    task_rows.let_leases_run_out(database)
    with database.transaction() as slow:
        tasks.complete(slow, batch)
        with database.autocommit() as connection:  # whoever waits here fails by its lock timeout
            assert tasks.claim_expired(connection, handler, uuid4()) == []
            tasks.renew_lease(connection, batch[0].token, SECOND)
            tasks.recover(connection, [batch[0].token])
    assert standing(database)["1"].state == "done"


def test_a_renewed_lease_does_not_run_out_and_a_lost_one_is_not_taken_back(database: Database) -> None:
    put(database, "1")
    batch = claim(database, a_handler(lease=SECOND))
    with database.autocommit() as connection:
        tasks.renew_lease(connection, batch[0].token, HOUR)
    assert task_rows.value(database, "SELECT lease_until > now() + interval '59 min' FROM task") is True
    task_rows.let_leases_run_out(database)
    claim_expired(database, a_handler(lease=SECOND))
    with database.autocommit() as connection:
        tasks.renew_lease(connection, batch[0].token, HOUR)
    assert task_rows.value(database, "SELECT lease_until < now() + interval '2 s' FROM task") is True


def test_released_tasks_are_due_at_once_and_unspent(database: Database) -> None:
    put(database, "1", "2")
    batch = claim(database)
    complete(database, batch[:1])
    with database.transaction() as connection:
        tasks.release(connection, [batch[0].token])
    assert standing(database) == {"1": ("done", 1), "2": ("ready", 0)}


def test_recovered_tasks_are_due_at_once_and_unspent_unless_they_were_alone(database: Database) -> None:
    put(database, "1", "2")
    together = claim(database)
    put(database, "3")
    alone = claim(database)
    with database.transaction() as connection:
        tasks.recover(connection, [together[0].token, alone[0].token])
    assert standing(database) == {"1": ("ready", 0), "2": ("ready", 0), "3": ("ready", 1)}
    assert [task.key for task in claim(database)] == ["1", "2"]


def test_a_task_that_was_alone_at_each_break_waits_longer_each_time(database: Database) -> None:
    put(database, "1")
    waited = []
    for _ in range(4):
        (task,) = claim(database)
        with database.transaction() as connection:
            tasks.recover(connection, [task.token])
        waited.append(
            task_rows.value(database, "SELECT extract(epoch FROM run_at - now())::float8 FROM task")
        )
        task_rows.let_delays_pass(database)
    assert waited == pytest.approx([1, 4, 9, 16], abs=0.5)


def test_the_database_holds_that_leased_means_having_a_token(database: Database) -> None:
    put(database, "1")
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'leased'"))


def test_periodic_work_of_several_schedulers_happens_once_a_period(database: Database) -> None:
    def schedule() -> None:
        for _ in range(20):
            put(database, "2026-11-22", kind="nightly")

    schedulers = [threading.Thread(target=schedule) for _ in range(4)]
    for each in schedulers:
        each.start()
    for each in schedulers:
        each.join()
    assert list(standing(database)) == ["2026-11-22"]


def test_the_backlog_tells_due_waiting_leased_and_dead_apart(database: Database) -> None:
    put(database, "dead", "leased", "due")
    with database.transaction() as connection:
        tasks.put(connection, "test", "work", ["waiting"], run_at=datetime.now(UTC) + HOUR)
        connection.execute(text("UPDATE task SET run_at = now() - interval '90 s' WHERE key = 'due'"))
        connection.execute(text("UPDATE task SET state = 'dead' WHERE key = 'dead'"))
        connection.execute(text("UPDATE task SET run_at = now() - interval '91 s' WHERE key = 'leased'"))
    claim(database, a_handler(batch=1))
    (found,) = backlog(database)
    assert (found.queue, found.kind) == ("test", "work")
    assert (found.due, found.waiting, found.leased, found.dead) == (1, 1, 1, 1)
    assert 90 <= found.oldest_due_seconds < 100


def test_only_what_was_done_long_ago_is_pruned(database: Database) -> None:
    put(database, "old", "new", "dead", "ready")
    with database.transaction() as connection:
        connection.execute(
            text(
                "UPDATE task SET state = CASE key WHEN 'dead' THEN 'dead' ELSE 'done' END,"
                " finished_at = now() - CASE key WHEN 'new' THEN interval '1 day' ELSE interval '40 days' END"
                " WHERE key <> 'ready'"
            )
        )
        assert tasks.prune(connection, timedelta(days=30)) == 1
    assert sorted(standing(database)) == ["dead", "new", "ready"]


def test_pruning_takes_no_more_at_once_than_asked(database: Database) -> None:
    put(database, *map(str, range(5)))
    with database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'done', finished_at = now() - interval '40 days'"))
        assert tasks.prune(connection, timedelta(days=30), at_most=3) == 3


def test_a_claim_from_a_large_backlog_reads_only_what_it_takes(database: Database) -> None:
    with database.transaction() as connection:
        tasks.put(connection, "test", "work", [f"{number:06}" for number in range(20_000)])
    with database.autocommit() as connection:
        connection.execute(text("ANALYZE task"))
        for _ in range(5):
            assert len(tasks.claim(connection, a_handler(batch=20), uuid4())) == 20
        plan = "\n".join(
            connection.scalars(
                text(f"EXPLAIN {tasks._CLAIM_DUE}"),
                {"kind": "work", "batch": 20, "token": uuid4(), "lease": SECOND},
            )
        )
    assert "ix_task_due" in plan
    assert "Sort" not in plan
