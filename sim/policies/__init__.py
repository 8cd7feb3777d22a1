"""Policies suggest, the engine decides: see ``sim.policies.base``."""
