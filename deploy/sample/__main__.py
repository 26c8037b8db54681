"""`python -m deploy.sample --out DIR --today 2026-11-22`: write the sample company to a folder."""

import argparse
from datetime import date
from pathlib import Path

from deploy.sample.write import generate


def main() -> None:
    """Read the command line, write the files, say where."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sample", description="Write the sample company.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--today", type=date.fromisoformat, required=True, help="the day after the last order"
    )
    parser.add_argument("--seed", type=int, default=7, help="another seed is another company")
    arguments = parser.parse_args()
    files = generate(arguments.out, arguments.today, arguments.seed)
    print(f"Orders from {files.first_date} to {files.last_date} are in {arguments.out}")


if __name__ == "__main__":
    main()
