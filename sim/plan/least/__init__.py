"""The least or the most of something that meets every line, and what stands against an answer."""
