"""`make bench`: measure everything in one run and write docs/benchmarks.md."""

import argparse
import os
import sys
from datetime import UTC, datetime

from bench import history, ingest, latency, scoring
from bench.figures import Figure, table, write
from bench.system import system

PARTS = {"latency": latency, "ingest": ingest, "scoring": scoring, "import": history}


def main() -> int:
    """Measure what was asked for; all of it is written down. Fails when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tipoff beside its peers.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="only these; nothing is written then")
    asked = parser.parse_args().parts or list(PARTS)
    figures: list[Figure] = []
    with system(with_company=True) as running:
        for name in asked:
            print(f"measuring {name} ...", flush=True)
            running.calm()
            figures.append(PARTS[name].measure(running))
            print(figures[-1], flush=True)
    print(table(figures))
    if asked == list(PARTS):
        write(figures, os.cpu_count() or 1, datetime.now(UTC).date())
    return 0 if all(each.is_met for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
