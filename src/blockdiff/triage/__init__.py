"""Says what has become of differing blocks: stale, shifted, torn, a flipped bit; and in which partition and file."""
