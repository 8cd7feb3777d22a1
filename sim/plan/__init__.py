"""Plans: what suffices, what fits, what a failure costs, what to buy when, with evidence."""
