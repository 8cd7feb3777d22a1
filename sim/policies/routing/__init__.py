"""Which replica a request goes to: one file, one policy."""
