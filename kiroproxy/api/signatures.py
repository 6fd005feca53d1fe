"""The signature of thinking that has none.

Anthropic's clients want one on every thinking block and send it back; thinking that came as tags in the
text was never signed. Ours is recognisable when it returns, so that it never reaches the service,
which refuses signatures it did not make.
"""

from __future__ import annotations

from typing import Final

PLACEHOLDER_SIGNATURE: Final = "kiroproxy-unsigned-thinking"


def is_placeholder(signature: str) -> bool:
    """Whether ``signature`` says nothing: ours, or none at all."""
    return not signature or signature == PLACEHOLDER_SIGNATURE
