"""Validation: measured kernels and serving runs against what rackplan predicts of them."""
