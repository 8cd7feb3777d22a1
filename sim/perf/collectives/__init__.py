"""How long a collective takes when it is alone, and the flows that it puts on a network.

``ops`` has what each operation must move, ``constants`` the fitted rows, ``timing`` the closed
form, ``flows`` the same as flows between GPUs. The model and its errors: ``docs/collectives.md``.
"""
