"""Any order of claims, deaths, finishes and failures: a lease has one holder, and nothing is lost or done twice."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared import tasks
from shared.db import Database
from shared.tasks import LeaseLost, Task
from tests import task_rows
from tests.task_rows import a_handler

HANDLER = a_handler(batch=3, max_attempts=3)
STEPS = (
    "put",
    "claim",
    "claim_expired",
    "complete",
    "fail",
    "release",
    "leases run out",
    "delays pass",
)


@dataclass
class Machine:
    """What the table must agree with: who holds what, and what is done."""

    database: Database
    held: dict[str, Task] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    known: int = 0
    stale: list[Task] = field(default_factory=list)

    def step(self, name: str, number: int) -> None:
        """Do one step, the same in the table and here."""
        getattr(self, name.replace(" ", "_"))(number)

    def put(self, number: int) -> None:
        """Store one task more, and all of before once again."""
        self.known += 1
        task_rows.put(self.database, *(str(each) for each in range(self.known)))

    def claim(self, number: int) -> None:
        """Take what is due."""
        for task in task_rows.claim(self.database, HANDLER):
            assert task.key not in self.held
            self._now_held(task)

    def claim_expired(self, number: int) -> None:
        """Take one whose lease ran out; its holder does not know. Give up what ended its worker too often."""
        for task in task_rows.claim_expired(self.database, HANDLER):
            self.stale.append(self.held[task.key])
            self._now_held(task)
            if task.attempts > HANDLER.max_attempts:
                with self.database.transaction() as connection:
                    tasks.dead_letter(connection, replace(task, attempts=HANDLER.max_attempts), "died")
                self.dead.add(task.key)
                del self.held[task.key]

    def complete(self, number: int) -> None:
        """Finish one; who lost it must not succeed, who holds it must."""
        for task in self.stale[-2:]:
            assert not self._try_to_complete(task)
        if self.held:
            key = sorted(self.held)[number % len(self.held)]
            assert self._try_to_complete(self.held[key])
            self.done.append(key)
            del self.held[key]

    def fail(self, number: int) -> None:
        """Retry one or dead-letter it, as a drainer does."""
        if not self.held:
            return
        task = self.held.pop(sorted(self.held)[number % len(self.held)])
        with self.database.transaction() as connection:
            if task.attempts >= HANDLER.max_attempts:
                tasks.dead_letter(connection, task, "no")
                self.dead.add(task.key)
            else:
                tasks.retry(connection, task, timedelta(hours=1), "no")

    def release(self, number: int) -> None:
        """Give everything back, what was lost too."""
        with self.database.transaction() as connection:
            tasks.release(connection, [each.token for each in (*self.held.values(), *self.stale)])
        self.held.clear()

    def leases_run_out(self, number: int) -> None:
        """As if all workers hung."""
        task_rows.let_leases_run_out(self.database)

    def delays_pass(self, number: int) -> None:
        """As if an hour went by."""
        task_rows.let_delays_pass(self.database)

    def check(self) -> None:
        """The table agrees."""
        standing = task_rows.standing(self.database)
        assert len(standing) == self.known
        assert len(self.done) == len(set(self.done))
        by_state = {state: {key for key, each in standing.items() if each.state == state} for state in STATES}
        assert by_state["done"] == set(self.done)
        assert by_state["dead"] == self.dead
        assert by_state["leased"] == set(self.held)
        assert all(0 <= each.attempts <= HANDLER.max_attempts for each in standing.values())

    def _try_to_complete(self, task: Task) -> bool:
        try:
            task_rows.complete(self.database, [task])
        except LeaseLost:
            return False
        return True

    def _now_held(self, task: Task) -> None:
        assert task.key not in self.done
        assert task.key not in self.dead
        self.held[task.key] = task


STATES = ("ready", "leased", "done", "dead")


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), min_size=5, max_size=40))
def test_the_table_and_a_model_of_it_never_disagree(database: Database, steps: list[tuple[str, int]]) -> None:
    with database.transaction() as connection:
        connection.execute(text("DELETE FROM task"))
    machine = Machine(database)
    for name, number in (("put", 0), ("put", 0), ("claim", 0), *steps):
        machine.step(name, number)
        machine.check()
