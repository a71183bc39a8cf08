"""`python -m tests.soak`: see --help."""

import argparse
import secrets
import signal
import sys

from tests.soak.soak import Soak


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--diffs", type=int, help="stop after so many diffs (10000, or no limit with --seconds)")
    parser.add_argument("--seconds", type=float, help="stop after so much time")
    parser.add_argument("--seed", type=int, help="do the same again (a random one, which is printed)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first history of the seed (0)")
    parser.add_argument("--no-reduce", action="store_true", help="do not cut down the histories that trap librbd")
    args = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if args.seed is None else args.seed
    diffs = 10_000 if args.diffs is None and args.seconds is None else args.diffs
    print(f"seed {seed}", flush=True)
    soak = Soak(seed, reduce=not args.no_reduce, tell=lambda text: print(text, flush=True))
    for number in (signal.SIGINT, signal.SIGTERM):  # also in the background of a shell, which has them ignored
        signal.signal(number, signal.default_int_handler)
    interrupted = False
    try:
        soak.run(diffs=diffs, seconds=args.seconds, first=args.first)
    except KeyboardInterrupt:
        interrupted = True
    for line in soak.summary():
        print(line)
    sys.exit(1 if soak.tally.faults else 130 if interrupted else 0)


if __name__ == "__main__":
    main()
