"""Sending messages at the same time: to all endpoints at once, to each a few at a time, waiting for no slow one.

An endpoint gets one message first, and the others once that was answered: one that is down is asked once. One broken
connection does not make an endpoint down that answered the message before: the next message tells. How long one that is
down is left alone is kept in PostgreSQL, for all workers (services/alerts/store/health.py).
"""

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from services.alerts.store.deliveries import Held
from services.alerts.store.health import Endpoint

log = logging.getLogger(__name__)

THREADS = 64
PER_CONNECTION = 4
"""A further connection to an endpoint is opened for so many messages, up to the channel's concurrency."""

SLOW_SECONDS = 0.5
"""An endpoint that takes longer to answer is slow: its batch goes on without it, and the answer is recorded late."""

ROUND_SECONDS = 5.0
"""How long a batch is sent at most; the rest of it waits for the next."""

BEGIN_SECONDS = 10.0
"""A message that has not begun by then is not sent now: its lease may run out on the way."""

SOON = timedelta(seconds=1)
DOWN = timedelta(minutes=1)
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class NotSent:
    """It was not tried after all; it is to be tried after `delay`."""

    reason: str
    delay: timedelta = SOON


Result = Receipt | Rejected | Unavailable | NotSent


@dataclass(frozen=True, slots=True)
class Outcome:
    """A delivery and how sending it ended. `is_down`: so that its endpoint is to be left alone for a while."""

    delivery: Held
    result: Result
    is_down: bool = False


@dataclass(frozen=True, slots=True)
class _Round:
    """One batch while it is sent. `awaited`: how many outcomes are missing of each endpoint that is waited for.

    Outcomes are collected until the round is over, and given to `record_late` after that.
    """

    record_late: Callable[[Outcome], None]
    awaited: Counter[Endpoint] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_over: threading.Event = field(default_factory=threading.Event)
    all_in: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        with self.lock:
            endpoint = outcome.delivery.endpoint
            if self.awaited[endpoint] <= 1:
                del self.awaited[endpoint]
            else:
                self.awaited[endpoint] -= 1
            if not self.awaited:
                self.all_in.set()
            if not self.is_over.is_set():
                self.outcomes.append(outcome)
                return
        self.record_late(outcome)

    def give_up(self, endpoint: Endpoint) -> None:
        """Wait for this endpoint no longer."""
        with self.lock:
            del self.awaited[endpoint]
            if not self.awaited:
                self.all_in.set()

    def end(self) -> list[Outcome]:
        """Return the outcomes so far."""
        with self.lock:
            self.is_over.set()
            return self.outcomes


@dataclass(frozen=True, slots=True)
class _Queue:
    """The messages of a round for one endpoint."""

    endpoint: Endpoint
    channel: Channel
    round: _Round
    waiting: deque[tuple[Held, OutboundMessage]] = field(default_factory=deque)

    def cut(self, result: NotSent) -> None:
        """Send none of those that wait."""
        while self.waiting:
            try:
                delivery, _ = self.waiting.popleft()
            except IndexError:  # a thread was faster
                return
            self.round.add(Outcome(delivery, result))


class Dispatcher:
    """Sends messages in threads of its own, and knows which endpoints are slow or down."""

    def __init__(self, channels: Mapping[str, Channel], config: ChannelConfig) -> None:
        self._channels = channels
        self._config = config
        self._threads = ThreadPoolExecutor(THREADS, "send")
        self._on_their_way: defaultdict[Endpoint, dict[UUID, float]] = defaultdict(dict)
        self._slow: set[Endpoint] = set()
        self._answered_last: set[Endpoint] = set()
        self._lock = threading.Lock()

    def on_their_way(self) -> set[UUID]:
        """The deliveries that are being sent at this moment, of whatever batch."""
        with self._lock:
            return {each for messages in self._on_their_way.values() for each in messages}

    def room(self, endpoint: Endpoint) -> int | None:
        """How many messages an endpoint may be sent now; None: as many as there are."""
        with self._lock:
            on_their_way = len(self._on_their_way[endpoint])
            if on_their_way or endpoint in self._slow:
                return max(self._channels[endpoint[0]].concurrency - on_their_way, 0)
            return None

    def send(
        self,
        messages: Iterable[tuple[Held, OutboundMessage]],
        record_late: Callable[[Outcome], None],
        is_paused: Callable[[], bool],
    ) -> list[Outcome]:
        """Send messages. Returns what ended in time; `record_late` is given each of the others when it ends.

        `is_paused` is asked now and then: once it is true, nothing more is begun.
        """
        this = _Round(record_late)
        queues: dict[Endpoint, _Queue] = {}
        for delivery, message in messages:
            queue = queues.setdefault(
                delivery.endpoint, _Queue(delivery.endpoint, self._channels[delivery.channel], this)
            )
            queue.waiting.append((delivery, message))
        with self._lock:
            for endpoint, queue in queues.items():
                if endpoint not in self._slow:
                    this.awaited[endpoint] = len(queue.waiting)
        if not this.awaited:
            this.all_in.set()
        for queue in queues.values():
            self._threads.submit(self._send_all, queue, is_first=True)
        while not this.all_in.wait(POLL_SECONDS):
            is_too_long = time.monotonic() - this.began > ROUND_SECONDS
            for endpoint in list(this.awaited) if is_too_long else self._newly_slow(this):
                queues[endpoint].cut(NotSent("its receiver is slow"))
                this.give_up(endpoint)
            if is_paused():
                for queue in queues.values():
                    queue.cut(NotSent("sending is paused", timedelta(seconds=15)))
        return this.end()

    def _newly_slow(self, this: _Round) -> list[Endpoint]:
        """The endpoints this round waits for that have let a message wait for too long."""
        with self._lock:
            now = time.monotonic()
            found = [
                endpoint
                for endpoint in list(this.awaited)
                if any(now - began > SLOW_SECONDS for began in self._on_their_way[endpoint].values())
            ]
            self._slow.update(found)
            return found

    def _send_all(self, queue: _Queue, *, is_first: bool = False) -> None:
        """Send messages of one endpoint over one connection until none waits."""
        with ExitStack() as stack:
            opened: list[Send] = []
            while queue.waiting:
                with self._lock:
                    try:
                        delivery, message = queue.waiting.popleft()
                    except IndexError:  # another thread was faster
                        return
                    self._on_their_way[queue.endpoint][delivery.id] = time.monotonic()
                result = self._try(queue, message, stack, opened)
                is_down = self._is_down(queue.endpoint, result)
                if is_down:
                    queue.cut(NotSent("its endpoint is down", DOWN))
                queue.round.add(Outcome(delivery, result, is_down))
                if is_first and not is_down:
                    is_first = False
                    more = min(len(queue.waiting) // PER_CONNECTION, queue.channel.concurrency - 1)
                    for _ in range(more):
                        self._threads.submit(self._send_all, queue)

    def _try(self, queue: _Queue, message: OutboundMessage, stack: ExitStack, opened: list[Send]) -> Result:
        """Send one message; whatever goes wrong is a result."""
        began = time.monotonic()
        result: Result
        try:
            if began - queue.round.began > BEGIN_SECONDS:
                return NotSent("its receiver is slow")
            if not opened:
                opened.append(stack.enter_context(queue.channel.open(self._config)))
            result = opened[0](message)
        except (Rejected, Unavailable) as failure:
            result = failure
        except (
            Exception
        ) as error:  # the boundary of a thread: what nobody expected must reach the delivery log
            log.exception("delivery %s could not be sent", message.delivery_id)
            result = Unavailable(f"could not be sent: {type(error).__name__}", is_unknown=True)
        finally:
            with self._lock:
                del self._on_their_way[queue.endpoint][message.delivery_id]
        with self._lock:
            if time.monotonic() - began < SLOW_SECONDS:
                self._slow.discard(queue.endpoint)
        return result

    def _is_down(self, endpoint: Endpoint, result: Result) -> bool:
        """Tell by how a try ended whether an endpoint is down; one that answered before is only after the next try."""
        if isinstance(result, NotSent):
            return False
        with self._lock:
            if not (isinstance(result, Unavailable) and result.is_down):
                self._answered_last.add(endpoint)
                return False
            if endpoint in self._answered_last:
                self._answered_last.remove(endpoint)
                return False
            return True
