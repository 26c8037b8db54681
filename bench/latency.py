"""From the webhook in to the alert out, at 30 orders a second through the whole system."""

import json
import statistics
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.figures import Figure
from bench.hammer import hammer
from bench.orders import made_orders, webhook
from bench.system import System, free_port, service, wait_for, worker

PER_SECOND = 30
SECONDS = 15
PATIENCE_SECONDS = 30


class Receiver:
    """A webhook receiver that notes when each order's alert arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.arrived.setdefault(body["data"]["order"]["id"], time.perf_counter())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def measure(system: System) -> Figure:
    """Post orders that each hold a line under its cost (always said, at once), and wait for every alert."""
    receiver = Receiver()
    system.settings["TIPOFF_LOOPBACK_ORIGINS"] = receiver.origin
    system.tipoff("endpoints", "add", f"{receiver.origin}/alerts")
    address = ("127.0.0.1", free_port())
    posted: dict[str, float] = {}
    with system.running(service("ingest", address[1]), worker("scoring"), worker("alerts")):
        wait_for(f"http://127.0.0.1:{address[1]}/healthz")
        time.sleep(3)
        orders = made_orders(
            system.folder / "sample", PER_SECOND * SECONDS, prefix="latency", below_cost=True
        )
        began = time.perf_counter()
        for number, order in enumerate(orders):
            ready = webhook(order, address, system.secret)
            time.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            posted[order["id"]] = time.perf_counter()
            hammer(address, [ready], 1)
        until = time.monotonic() + PATIENCE_SECONDS
        while len(receiver.arrived) < len(posted) and time.monotonic() < until:
            time.sleep(0.1)
    receiver.close()
    took = sorted(receiver.arrived[each] - posted[each] for each in posted if each in receiver.arrived)
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99) - 1]
    return Figure(
        f"webhook in to alert out at {PER_SECOND} orders/s",
        f"p50 {p50:.2f} s, p99 {p99:.2f} s ({len(took)} of {len(posted)} orders alerted)",
        "",
        None,
        "p50 at most 0.25 s, p99 at most 2 s",
        p50 <= 0.25 and p99 <= 2 and len(took) == len(posted),
    )
