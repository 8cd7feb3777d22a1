"""Build a world from a scenario and run it; the only place that imports simpy."""
