"""Processes, Redis and PostgreSQL are killed under load: nothing is lost, nothing is doubled, nobody else pays."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import redis

from deploy.devstack import DevStack
from tests.chaos.harness import Crew, Facts, eventually

BATCH = 10


def test_kill_minus_nine_in_the_middle_of_a_batch(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    kills = 5
    with Crew(2, database_url, redis_url, batch=BATCH) as crew:
        facts.put(150, "sleep 0.01")
        for _ in range(kills):
            pid = facts.wait_for_someone_in_the_middle(crew.pids())
            crew.kill(pid)
            facts.put(10, "sleep 0.01")
            crew.tend()
        facts.settle()
    facts.judge()
    spent = facts.value("SELECT sum(attempts) FROM task")
    assert spent == len(facts.acknowledged), "a kill spent an attempt of a task that was not alone"
    tries = facts.value("SELECT count(*) FROM attempt_log")
    assert len(facts.acknowledged) < tries <= len(facts.acknowledged) + kills * BATCH


def test_a_poison_task_ends_dead_and_everybody_else_is_done(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with Crew(2, database_url, redis_url, lease=0.4, batch=BATCH) as crew:
        facts.put(30)
        dead = [*facts.put(1, "die"), *facts.put(1, "exit"), *facts.put(1, "raise")]
        facts.put(30)
        eventually(lambda: crew.tend() and facts.is_settled(), 40, "every task done or dead")
    facts.judge(dead=dead)
    assert crew.deaths >= 4
    assert facts.value("SELECT max(attempts) FROM task WHERE state = 'done'") == 1
    assert facts.value("SELECT count(DISTINCT error) FROM task WHERE state = 'dead' AND attempts = 3") == 2


def test_a_redis_wiped_with_a_backlog(own_stack: DevStack) -> None:
    if own_stack.redis_url is None:
        pytest.skip("no Redis on this machine")
    facts = Facts(own_stack.database_url, own_stack.redis_url)
    with (
        Crew(2, own_stack.database_url, own_stack.redis_url, batch=BATCH),
        redis.Redis.from_url(own_stack.redis_url) as client,
    ):
        facts.put(200, "sleep 0.01")
        for _ in range(5):
            facts.put(20, "sleep 0.01")
            assert facts.states()["ready"] > BATCH, "a wipe without a backlog proves nothing"
            client.flushall()
            time.sleep(0.1)
        facts.settle()
        facts.put()
        assert facts.settle() < 10, "workers are no longer woken up"
    facts.judge()
    assert facts.most_attempts() == 1


def test_a_postgresql_that_crashes_under_load(own_stack: DevStack) -> None:
    assert own_stack.postgres is not None
    facts = Facts(own_stack.database_url, own_stack.redis_url)
    with Crew(2, own_stack.database_url, own_stack.redis_url, lease=3, batch=BATCH) as crew:
        client = threading.Thread(target=facts.put_stubbornly, args=(120, "sleep 0.01"))
        client.start()
        for crash in range(3):
            eventually(partial(facts.has_acknowledged, crash * 25), 20)
            own_stack.postgres.kill()
            own_stack.postgres.restart()
        client.join(30)
        assert not client.is_alive()
        took = facts.settle()
        assert crew.deaths == 0, "a worker did not outlive a crash of the database"
    print(f"settled {took:.2f} s after the last fact")
    facts.judge()
    assert len(facts.acknowledged) == 120


@pytest.mark.slow
def test_everything_at_once(own_stack: DevStack) -> None:
    assert own_stack.postgres is not None
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 100_000))
    seconds = float(os.environ.get("CHAOS_SECONDS", "60"))
    chance, fired = random.Random(seed), Counter[str]()
    facts = Facts(own_stack.database_url, own_stack.redis_url)
    with Crew(4, own_stack.database_url, own_stack.redis_url, lease=2, batch=BATCH) as crew:
        faults = faults_of(own_stack, crew, chance)
        until = time.monotonic() + seconds
        client = threading.Thread(target=facts.put_until, args=(until, "sleep 0.005"))
        client.start()
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.2, 1.2))
            name = chance.choice(sorted(faults))
            faults[name]()
            fired[name] += 1
            crew.tend()
        client.join(60)
        eventually(lambda: crew.tend() and facts.is_settled(), 60, "every task done or dead")
    print(f"seed {seed}: {len(facts.acknowledged)} facts, {dict(fired)}, most tries {facts.most_attempts()}")
    assert set(fired) == set(faults), "a kind of fault never fired: run longer"
    facts.judge()


def faults_of(stack: DevStack, crew: Crew, chance: random.Random) -> dict[str, Callable[[], object]]:
    """What may break, by name."""
    assert stack.postgres is not None
    postgres, server = stack.postgres, stack.redis

    def crash_postgres() -> None:
        postgres.kill()
        time.sleep(chance.uniform(0, 1))
        postgres.restart()

    def pause_worker() -> None:
        worker = crew.any(chance)
        worker.signal(signal.SIGSTOP)
        time.sleep(chance.uniform(0.5, 3))  # at times longer than its lease
        worker.signal(signal.SIGCONT)

    faults: dict[str, Callable[[], object]] = {
        "worker killed": lambda: crew.any(chance).kill(),
        "worker stopped": lambda: crew.any(chance).stop(),
        "worker paused": pause_worker,
        "PostgreSQL killed": crash_postgres,
    }
    if server is not None and stack.redis_url is not None:
        url = stack.redis_url

        def crash_redis() -> None:
            server.kill()
            time.sleep(chance.uniform(0, 3))
            server.restart()

        def wipe() -> None:
            with redis.Redis.from_url(url) as client:
                client.flushall()

        faults |= {"Redis killed": crash_redis, "Redis wiped": wipe}
    return faults
