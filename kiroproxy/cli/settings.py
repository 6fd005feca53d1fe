"""Settings for commands that do not serve."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kiroproxy.cli.dotfile import read_dotenv
from kiroproxy.config import SETTINGS, Config, load

_STATE_DIR = next(s for s in SETTINGS if s.name == "KIROPROXY_STATE_DIR")


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """The one flag of the server that other commands share."""
    parser.add_argument(
        "--state-dir",
        metavar="PATH",
        help=f"{_STATE_DIR.meaning} ({_STATE_DIR.name}, default {_STATE_DIR.default})",
    )


def load_config(arguments: argparse.Namespace) -> Config:
    """The user's settings. Where a server would listen is no matter here. Raises ConfigError."""
    flags = {"HOST": "127.0.0.1"}
    if arguments.state_dir:
        flags[_STATE_DIR.name] = arguments.state_dir
    return load(flags, os.environ, read_dotenv(), Path.home())
