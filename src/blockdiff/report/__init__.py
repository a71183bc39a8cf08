"""Reports of runs as a page that people look at: one HTML file that needs nothing else."""
