"""The ``.env`` file of the working folder.

A working folder may be anybody's, so the file is read like one that somebody else has put there: it may be
a pipe (password managers make such ones) but then it has to speak soon, it has a size, and what its
``${NAME}`` unfold into has one too. What another user has left in a folder of everybody's (``/tmp``) is
refused: it could send the sign-ins to an address of his.
"""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular

MOST_BYTES: Final = 1024 * 1024
"""Of the file, and of all values when their ``${NAME}`` are replaced."""
_MOST_REFERRING: Final = 16 * 1024  # characters of one value with ${NAME} in it
_PIPE_S: Final = 5.0


def read_dotenv(path: Path = Path(".env")) -> dict[str, str]:
    """Its names and values; nothing when there is no such file. Raises ConfigError."""
    try:
        found = path.stat()
    except (FileNotFoundError, PermissionError):  # the folder may be one that we cannot look into
        return {}
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        if stat.S_ISDIR(found.st_mode):  # a virtual environment, as some name it
            return {}
        if is_planted(found, path.absolute().parent.stat(), os.geteuid()):
            raise ConfigError(
                f"{path}: belongs to another user, in a folder where everybody may put files; "
                "start kiroproxy in a folder of your own"
            )
        is_pipe = stat.S_ISFIFO(found.st_mode)
        data = _read_pipe(path) if is_pipe else read_regular(path, MOST_BYTES)
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: must be text in UTF-8") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return _parse(path, text)


def is_planted(file: os.stat_result, folder: os.stat_result, user: int) -> bool:
    """Whether somebody else but ``user`` may have put the file there, for anyone to stumble over."""
    return file.st_uid not in (0, user) and bool(folder.st_mode & stat.S_IWOTH)


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: cannot be read ({error.strerror or error})")


def _read_pipe(path: Path) -> bytes:
    """All that is written to it. Raises OSError, and ValueError when nobody writes."""
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        give_up_at_s = time.monotonic() + _PIPE_S
        data = b""
        while len(data) <= MOST_BYTES:
            left_s = give_up_at_s - time.monotonic()
            if left_s <= 0 or not waiting.poll(left_s * 1000):
                raise ValueError("is a pipe that nobody writes to")
            piece = os.read(pipe, 65_536)
            if not piece:
                return data
            data += piece
        raise ValueError(f"is bigger than {MOST_BYTES} bytes")
    finally:
        os.close(pipe)


def _parse(path: Path, text: str) -> dict[str, str]:
    from dotenv import dotenv_values  # slow to import, and many a command has no need of it

    given = dotenv_values(stream=io.StringIO(text), interpolate=False)
    values: dict[str, str] = {}
    size = 0
    for name, value in given.items():
        if value is None:
            continue
        values[name] = _unfolded(path, value, values) if "${" in value else value
        size += len(values[name])
        if size > MOST_BYTES:
            raise ConfigError(f"{path}: its values unfold into more than {MOST_BYTES} characters")
    return values


def _unfolded(path: Path, value: str, values: Mapping[str, str]) -> str:
    """``value`` with its ``${NAME}`` and ``${NAME:-default}`` replaced by what stands above it in the file,
    else in the environment. At most twice ``MOST_BYTES``, and a variable of the environment."""
    from dotenv.variables import parse_variables

    if len(value) > _MOST_REFERRING:
        raise ConfigError(f"{path}: a value with ${{…}} has more than {_MOST_REFERRING} characters")
    known = {**os.environ, **values}
    parts: list[str] = []
    size = 0
    for atom in parse_variables(value):
        parts.append(atom.resolve(known))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise ConfigError(f"{path}: its values unfold into more than {MOST_BYTES} characters")
    return "".join(parts)
