"""Studies: many runs of scenarios on an executor, and what can be concluded from them."""
