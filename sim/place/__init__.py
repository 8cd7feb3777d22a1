"""Pods on nodes without requests: lists, replay, policies compared, and how far from the best."""
