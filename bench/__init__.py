"""What the figures in docs/benchmarks.md come from: `make bench` measures each beside its peer, in one run."""
