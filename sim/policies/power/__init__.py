"""What a power controller does: one file, one policy."""
