"""Which GPUs a replica runs on: one file, one policy."""
