"""Other programs' settings, changed so that they use the proxy, and put back.

``jsontext`` and ``tomltext`` edit text and keep everything around the edit; ``document`` puts both
behind one face and checks each edit; ``kept`` is the memory for ``--undo``; ``flow`` shows, asks and
writes.
"""
