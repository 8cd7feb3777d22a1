"""Compiled (numba) inner loops: free functions on arrays and scalars; no objects, no SimPy.

``jit`` says how they are compiled, ``rows`` how they hand rows on.
"""
