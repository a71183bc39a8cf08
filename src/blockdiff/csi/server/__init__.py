"""What every server of this room needs: listening, TLS, limits, health, metrics."""
