"""The whole system, orders by HTTP to mails and webhooks, while its parts are killed: none lost, none doubled."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
import redis

from deploy.devstack import DevStack
from services.alerts.deliver import LEASE
from shared.tasks import PROMPTLY
from tests.chaos.harness import eventually
from tests.chaos.installation import Installation


@pytest.fixture
def installation(own_stack: DevStack) -> Iterator[Installation]:
    """Everything but the scoring and alerts pages, on servers of its own."""
    with Installation(own_stack) as running:
        yield running


def test_kill_minus_nine_of_a_scoring_worker_in_the_middle_of_a_batch(installation: Installation) -> None:
    installation.post(range(3))
    installation.settle()

    def kill_in_the_middle() -> None:
        installation.post(range(3, 15))
        eventually(lambda: in_hand(installation, "score") > 0, 10, "a batch in hand")
        installation.process("scoring 0").kill()

    installation.while_locked("signal", kill_in_the_middle)
    assert in_hand(installation, "score") > 0, "nothing was in the middle"
    assert installation.count("SELECT count(*) FROM sales_order") == 3
    installation.let_leases_run_out()
    installation.settle()
    installation.judge()
    assert installation.deaths == {"scoring 0": 1}
    assert installation.repeats() == 0


def test_kill_minus_nine_of_an_alerts_worker_in_the_middle_of_a_send(installation: Installation) -> None:
    installation.post(range(1))
    installation.settle()
    go_on = installation.hold_mail()
    installation.post(range(1, 10))
    unfinished = (
        "SELECT count(*) FROM attempt JOIN delivery ON delivery.id = delivery_id"
        " WHERE outcome IS NULL AND channel = 'email'"
    )
    eventually(lambda: installation.count(unfinished) > 0, 20, "a mail in the middle of being sent")
    installation.process("alerts 1").kill()
    assert installation.count(unfinished) > 0, "nothing was in the middle"
    go_on.set()
    installation.let_leases_run_out()
    installation.settle()
    installation.judge()
    cut = "SELECT count(*) FROM attempt WHERE outcome = 'unknown'"
    assert installation.repeats() <= installation.count(cut)


def test_a_redis_wiped_with_a_backlog_of_orders(installation: Installation) -> None:
    url = installation.stack.redis_url
    if url is None:
        pytest.skip("no Redis on this machine")
    client = installation.posting(range(60))
    with redis.Redis.from_url(url) as connection:
        wiped = 0
        while client.is_alive():
            time.sleep(0.05)
            wiped += installation.count("SELECT count(*) FROM task WHERE state <> 'done'") > 0
            connection.flushall()
    took = installation.settle()
    print(f"settled {took:.2f} s after the last order; {wiped} wipes with a backlog")
    installation.judge()
    assert wiped > 2
    assert installation.repeats() == 0


def test_a_postgresql_that_crashes_while_orders_come_in(installation: Installation) -> None:
    postgres = installation.stack.postgres
    assert postgres is not None
    client = installation.posting(range(90))
    for crash in range(2):
        eventually(partial(installation.has_accepted, crash * 30 + 5), 30)
        postgres.kill()
        time.sleep(0.3)
        postgres.restart()
    client.join(60)
    took = installation.settle()
    print(f"settled {took:.2f} s after the last order; answers {dict(installation.answers)}")
    installation.judge()
    assert len(installation.accepted) == 90
    assert installation.deaths == {}, "a part did not outlive a crash of the database"


@pytest.mark.slow
def test_a_postgresql_that_crashes_again_and_again_costs_nobody_a_lease(installation: Installation) -> None:
    postgres = installation.stack.postgres
    assert postgres is not None
    seed = time.time_ns() % 100_000
    chance = random.Random(seed)
    accepted, crashes = 0, 0
    while accepted < 120:
        few = chance.randrange(1, 6)
        installation.post(range(accepted, accepted + few))
        accepted += few
        time.sleep(chance.uniform(0, 0.15))
        postgres.kill()
        postgres.restart()
        crashes += 1
    took = installation.settle()
    print(f"seed {seed}: {crashes} crashes, settled {took:.2f} s after the last")
    installation.judge()
    # A task that was alone at each of so many breaks waits before it is tried again, and that is no lease.
    tries = installation.count("SELECT max(attempts) FROM task WHERE state = 'done'")
    apart = PROMPTLY[min(tries, len(PROMPTLY)) - 2] if tries > 1 else timedelta()
    assert took < (LEASE / 2 + apart).total_seconds(), "somebody waited for a lease"


@pytest.mark.slow
def test_everything_at_once_from_order_to_mail(own_stack: DevStack) -> None:
    assert own_stack.postgres is not None
    seed = time.time_ns() % 100_000
    chance = random.Random(seed)
    with Installation(own_stack, ("scoring", "scoring", "alerts", "alerts")) as installation:
        client = installation.posting(range(900))
        fired = 0
        while client.is_alive():
            time.sleep(chance.uniform(0.3, 1.5))
            match chance.choice(("worker", "redis", "postgres", "ingest")):
                case "worker":
                    installation.process(
                        chance.choice(("scoring 0", "scoring 1", "alerts 2", "alerts 3"))
                    ).kill()
                case "ingest":
                    installation.process("ingest").kill()
                case "redis" if own_stack.redis is not None:
                    own_stack.redis.kill()
                    own_stack.redis.restart()
                case _:
                    own_stack.postgres.kill()
                    own_stack.postgres.restart()
            fired += 1
            installation.tend()
        client.join()
        took = installation.settle(150)
        print(
            f"seed {seed}: {fired} faults, settled in {took:.1f} s, {installation.repeats()} repeats,"
            f" deaths {dict(installation.deaths)}, answers {dict(installation.answers)}"
        )
        installation.judge()


def in_hand(installation: Installation, kind: str) -> int:
    """How many tasks of a kind are leased."""
    return installation.count(f"SELECT count(*) FROM task WHERE state = 'leased' AND kind = '{kind}'")
