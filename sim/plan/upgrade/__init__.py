"""Which upgrade adds most capacity for a dollar."""
