"""Until when a capacity lasts under growth, and what to order when."""
