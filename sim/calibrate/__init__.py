"""``rackplan calibrate``: times on the device at hand what serving does, and fits it.

The way through it: ``plan`` lists kernels by value, ``measure`` times them on a ``device``,
``record`` keeps every sample in one file, ``fit`` turns the file into constants.
"""
