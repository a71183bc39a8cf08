"""Benchmarks: blockdiff against its peers, in pairs, answers checked. See docs/benchmarking.md."""
