"""`make bench`: measure everything in one run and write docs/benchmarks.md."""

import argparse
import os
import sys
from datetime import UTC, datetime

from bench import end_to_end, figures, history, ingest, scoring
from bench.system import system

PARTS = {
    "latency": end_to_end.latency,
    "during_fit": end_to_end.during_fit,
    "sustained": end_to_end.sustained,
    "burst": end_to_end.burst,
    "ingest": ingest.measure,
    "scoring": scoring.measure,
    "import": history.measure,
}


def main() -> int:
    """Measure what was asked for and print it. A whole run is written down. Fails when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tipoff beside its peers.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="only these; nothing is written then")
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, to see that all works; not written"
    )
    asked = parser.parse_args()
    parts = asked.parts or list(PARTS)
    began, load = datetime.now(UTC), os.getloadavg()[0]
    measured: list[figures.Figure] = []
    with system(with_company=True) as running:
        for name in parts:
            print(f"measuring {name} ...", flush=True)
            running.vacuum()
            measured.append(PARTS[name](running, quick=asked.quick))
            print(figures.table(measured[-1:]), flush=True)
    print(f"\n{figures.table(measured)}\n\n{figures.goals(measured)}")
    if parts == list(PARTS) and not asked.quick:
        figures.DOCUMENT.write_text(figures.document(measured, os.cpu_count() or 1, began, load))
    return 0 if all(goal.is_met for each in measured for goal in each.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
