"""A worker process on real servers: woken by RQ, does without it, stops in order, trusts nobody in Redis."""

import json
import pickle
import signal
import statistics
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue

from deploy.devstack import DevStack
from shared.notify import JOB, MAX_WAITING, Notifier, connect, wake_up
from tests.chaos.harness import Facts, eventually, workers

NOWHERE = "redis://127.0.0.1:1/0"


def answers(facts: Facts, seconds: float = 10) -> None:
    """A fact put now gets its effect."""
    facts.put()
    facts.settle(seconds)
    facts.judge()


def has_live_worker(redis_url: str) -> bool:
    """Does a worker listen?"""
    with redis.Redis.from_url(redis_url) as client:
        return bool(client.smembers("rq:workers"))


def test_a_notification_is_answered_without_waiting_for_a_poll(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url):
        answers(facts)
        for _ in range(20):
            facts.put()
            facts.settle()
            time.sleep(0.03)
        facts.judge()
        seconds = [
            float(each)
            for each in facts.value(
                "SELECT array_agg(extract(epoch FROM a.at - t.created_at)) FROM attempt_log a"
                " JOIN task t ON t.key::bigint = a.fact_id WHERE a.fact_id > 1"
            )
        ]
    print(f"put to start: p50 {statistics.median(seconds) * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms")
    assert statistics.median(seconds) < 1


def test_finds_at_its_start_what_was_put_before(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    facts.put(30, is_rung=False)
    with workers(1, database_url, redis_url):
        facts.settle()
    facts.judge()


def test_finds_what_nobody_rang_for(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url):
        answers(facts)
        facts.put(is_rung=False)
        assert facts.settle() < 10
    facts.judge()


@pytest.mark.parametrize("has_address", [True, False], ids=["Redis does not answer", "no Redis is set"])
def test_polls_where_there_is_no_redis_and_says_so_once(database_url: str, has_address: bool) -> None:
    facts = Facts(database_url)
    with workers(1, database_url, NOWHERE if has_address else None) as (worker,):
        answers(facts)
        facts.put()
        assert facts.settle() < 5
        time.sleep(2.5)  # longer than it polls before it tries Redis again
        assert worker.stop() < 9
        assert worker.log().splitlines() == ["WARNING shared.worker no Redis: polling PostgreSQL"]
    facts.judge()


def test_counts_where_the_process_lives_on(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url) as (worker,):
        answers(facts)
        facts.put(1, "raise")
        facts.settle()
        worker.stop()
        assert worker.counted() == {
            "signals chaos": 1,
            "tasks double done": 1,
            "tasks double retried": 2,
            "tasks double dead": 1,
        }


@pytest.mark.parametrize("mode", ["listening", "polling"])
@pytest.mark.parametrize("signals", [1, 3])
def test_stops_within_seconds_and_finishes_what_is_in_hand(
    database_url: str, redis_url: str, mode: str, signals: int
) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url if mode == "listening" else None, batch=1) as (worker,):
        answers(facts)
        assert worker.is_running
        facts.put(1, "sleep 0.7")
        eventually(lambda: facts.states()["leased"] == 1, 20)
        facts.put(5)
        for _ in range(signals - 1):
            worker.signal(signal.SIGTERM)
            time.sleep(0.05)
        assert worker.stop() < 9
        assert worker.ended() == 0
        assert facts.states() == {"done": 2, "ready": 5}
        assert "Traceback" not in worker.log()


@pytest.mark.parametrize("mode", ["listening", "polling"])
def test_stops_while_idle(database_url: str, redis_url: str, mode: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url if mode == "listening" else None) as (worker,):
        answers(facts)
        assert worker.stop() < 9
        assert worker.ended() == 0
        assert "Traceback" not in worker.log()


def test_a_stop_while_it_starts_is_heard(database_url: str, redis_url: str) -> None:
    for wait in (0.9, 1.1, 1.3):
        with workers(1, database_url, redis_url) as (worker,):
            time.sleep(wait)
            worker.stop(timeout=5)


def test_a_batch_that_will_not_end_is_given_back_when_asked_to_stop(
    database_url: str, redis_url: str
) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url) as (worker,):
        answers(facts)
        facts.put(1, "sleep 60")
        eventually(lambda: facts.states()["leased"] == 1, 20)
        assert 2 < worker.stop() < 20
        assert worker.ended() == 0
    assert facts.states() == {"done": 1, "ready": 1}
    assert facts.value("SELECT attempts FROM task WHERE state = 'ready'") == 0


def forged(data: bytes, **fields: str) -> dict[str, Any]:
    """A job's hash as an attacker with Redis would write it."""
    return {
        "data": data,
        "created_at": "2026-01-01T00:00:00Z",
        "status": "queued",
        "origin": "chaos",
    } | fields


def call(name: str, *arguments: object, instance: object = None) -> bytes:
    """A job's data as RQ stores it with the JSON serializer."""
    return zlib.compress(json.dumps([name, instance, list(arguments), {}]).encode())


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_runs_nothing_but_the_drain(database_url: str, redis_url: str, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    touch = call("os.system", f"touch {mark}")
    plain = zlib.decompress(touch)
    drain = call(JOB)
    jobs = {
        "command": forged(touch),
        "not-compressed": forged(plain),
        "pickle": forged(zlib.compress(pickle.dumps(Bomb(mark)))),
        "unknown": forged(call("no.such.function")),
        "instance": forged(call(JOB, instance="os")),
        "argument": forged(call(JOB, "now")),
        "not-json": forged(b"\xff\x00{"),
        "deep": forged(zlib.compress(b"[" * 900)),
        "bomb": forged(zlib.compress(b"[" * 50_000_000)),
        "callbacks": forged(
            drain,
            success_callback_name="tests.chaos.program.main",
            failure_callback_name="os.abort",
            stopped_callback_name="os.abort",
        ),
        "webhook": forged(drain, webhooks='[{"url": "http://127.0.0.1:1/", "statuses": ["finished"]}]'),
        "numbers": forged(drain, timeout="-1x", ttl="soon", retries_left="many", created_at="never"),
        "retries": forged(call("os.abort"), retries_left="1000000", retry_intervals="[0]"),
        "origin": forged(drain) | {"origin": b"\xff\xfe"},
        "dependents": forged(drain, dependency_ids='["x"'),
    }
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url) as (worker,), redis.Redis.from_url(redis_url) as client:
        answers(facts)
        for name, job in jobs.items():
            client.hset(f"rq:job:{name}", mapping=job)
            client.rpush("rq:queue:chaos", name)
        client.rpush("rq:queue:chaos", "no-such-job")
        facts.put(3)
        facts.settle()
        eventually(lambda: client.llen("rq:queue:chaos") == 0, 10)
        pid = worker.pid
        assert worker.is_running
        answers(facts)
        refused = worker.log().count("refused a job that is not ours")
        assert worker.pid == pid
        worker.stop()
        assert "Traceback" not in worker.log()
    facts.judge()
    assert refused == 10
    assert not mark.exists()


def test_remote_commands_and_suspension_are_not_heeded(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url) as (worker,), redis.Redis.from_url(redis_url) as client:
        answers(facts)
        (name,) = client.smembers("rq:workers")
        channel = str(name, "utf-8").replace("rq:worker:", "rq:pubsub:") if isinstance(name, bytes) else name
        client.publish(channel, json.dumps({"command": "shutdown"}))
        client.set("rq:suspended", 1)
        facts.put()
        assert facts.settle() < 5
        assert worker.is_running
    facts.judge()


def test_forged_jobs_by_the_hundred_do_no_harm(database_url: str, redis_url: str) -> None:
    facts = Facts(database_url, redis_url)
    with workers(1, database_url, redis_url) as (worker,), redis.Redis.from_url(redis_url) as client:
        answers(facts)
        queue = Queue("chaos", connection=client, serializer="json")
        for _ in range(300):
            queue.enqueue(JOB, result_ttl=0)
        facts.put(20)
        assert facts.settle() < 15
        assert worker.is_running
    facts.judge()


def test_notifying_without_end_is_bounded(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        connection = connect(redis_url)
        for _ in range(200):
            assert wake_up(connection, "chaos")
        assert client.llen("rq:queue:chaos") == MAX_WAITING


def test_notifying_returns_at_once_and_never_raises() -> None:
    for url in (None, NOWHERE, "redis://10.255.255.1:6379/0"):
        notifier = Notifier(url)
        begun = time.monotonic()
        for _ in range(1000):
            notifier.notify("scoring", "alerts")
        assert time.monotonic() - begun < 5
        notifier.close()


def test_a_notification_asked_for_just_before_closing_is_sent(redis_url: str) -> None:
    notifier = Notifier(redis_url)
    notifier.notify("chaos")
    notifier.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("rq:queue:chaos") == 1


def test_does_without_a_redis_that_dies_and_listens_again_when_it_returns(own_stack: DevStack) -> None:
    if own_stack.redis is None or own_stack.redis_url is None:
        pytest.skip("no Redis on this machine")
    facts = Facts(own_stack.database_url, own_stack.redis_url)
    with workers(1, own_stack.database_url, own_stack.redis_url) as (worker,):
        answers(facts)
        own_stack.redis.kill()
        facts.put(5)
        away = facts.settle()
        facts.put()
        polled = facts.settle()
        own_stack.redis.restart()
        url = own_stack.redis_url
        begun = time.monotonic()
        eventually(lambda: has_live_worker(url), 10)
        back = time.monotonic() - begun
        facts.put()
        rung = facts.settle()
        own_stack.redis.kill()
        own_stack.redis.restart()  # while idle: nothing may be noticed
        facts.put(5)
        restarted = facts.settle()
        log = worker.log()
        assert worker.stop() < 9
    print(
        f"Redis away {away:.2f} s, polled {polled:.2f} s, back {back:.2f} s, rung {rung:.2f} s, {restarted:.2f} s"
    )
    facts.judge()
    assert max(away, polled, rung, restarted) < 10
    assert "Traceback" not in log
    assert set(log.splitlines()) <= {"WARNING shared.worker no Redis: polling PostgreSQL"}


def test_a_stop_while_redis_is_away_finishes_what_is_in_hand(own_stack: DevStack) -> None:
    if own_stack.redis is None:
        pytest.skip("no Redis on this machine")
    facts = Facts(own_stack.database_url, own_stack.redis_url)
    with workers(1, own_stack.database_url, own_stack.redis_url) as (worker,):
        answers(facts)
        facts.put(1, "sleep 1")
        eventually(lambda: facts.states()["leased"] == 1, 20)
        own_stack.redis.kill()
        assert worker.stop() < 9
    assert facts.states() == {"done": 2}
    facts.judge()
