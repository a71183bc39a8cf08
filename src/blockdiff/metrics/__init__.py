"""What monitoring is told of runs: Prometheus' text format, in files for node_exporter's textfile collector."""
