"""The ``.env`` file of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

from kiroproxy.errors import ConfigError


def read_dotenv(path: Path = Path(".env")) -> dict[str, str]:
    """Its names and values; nothing when there is no such file. Raises ConfigError."""
    if not os.path.exists(path):
        return {}
    from dotenv import dotenv_values  # slow to import, and many a command has no need of it

    try:
        values = dotenv_values(path)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: must be text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    return {name: value for name, value in values.items() if value is not None}
