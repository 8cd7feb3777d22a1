"""What a replica's next iteration works on: one file, one policy."""
