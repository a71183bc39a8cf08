"""Which file owns a block, asked of the programs that know the file system; read-only and within limits."""
