"""The network: a networkx graph of GPUs, NICs and switches, compiled to arrays of directed links.

``plan`` sizes a built-in kind without building it, ``graph`` builds it, ``files`` reads and writes
one, ``compile`` checks any graph against the site and makes the arrays, ``failures`` keeps what is
dead, ``measure`` counts. Only ``plan``, ``types`` and ``failures`` can be imported without
networkx.
"""
