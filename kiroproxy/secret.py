"""A string that does not show itself.

Tokens travel as ``Secret``; the one way to read one is ``reveal()``, so every place that handles the
bare value can be found with grep.
"""

from __future__ import annotations

import hashlib


class Secret:
    """Holds a secret string; ``repr``, ``str`` and formatting show ``***``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The bare value. Use it only where it goes on the wire or into a 0600 file."""
        return self._value

    def fingerprint(self) -> str:
        """Eight hex digits that tell two secrets apart without telling either."""
        return hashlib.sha256(self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
