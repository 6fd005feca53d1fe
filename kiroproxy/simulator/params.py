"""A fault's parameters: text from a directive or a program, read leniently."""

from __future__ import annotations


class Params(dict[str, str]):
    """``key=value`` pairs."""

    def number(self, name: str, default: float) -> float:
        """The parameter as a number; ``default`` when it is absent or none."""
        try:
            return float(self[name])
        except (KeyError, ValueError):
            return default

    def count(self, name: str, default: int) -> int:
        """The parameter as an integer; ``default`` when it is absent or none."""
        return int(self.number(name, default))
