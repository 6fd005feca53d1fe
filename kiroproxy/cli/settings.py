"""Settings for all commands: the flags they share, and their reading from every home."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from kiroproxy.cli.dotfile import read_dotenv
from kiroproxy.config import SETTINGS, VARIABLE, Config, ConfigFile, find, load

_STATE_DIR = next(s for s in SETTINGS if s.name == "KIROPROXY_STATE_DIR")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that loads settings."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"a file of settings, TOML or AIClient-2-API's config.json ({VARIABLE}, default "
        "~/.config/kiroproxy/config.toml if there is one)",
    )


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """The flags of the server that other commands share: the state folder, and the config file."""
    add_config(parser)
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
    return read_settings(flags, arguments.config)


def read_settings(flags: Mapping[str, str], named: str | None) -> Config:
    """Settings from all their homes as they are now. ``named``: what --config says. Raises ConfigError."""
    dotenv = read_dotenv()
    return load(flags, os.environ, dotenv, Path.home(), find_file(named, dotenv))


def find_file(named: str | None, dotenv: Mapping[str, str]) -> ConfigFile | None:
    """The config file, if there is one. Raises ConfigError."""
    environment = {**dotenv, **os.environ}
    return find(named or environment.get(VARIABLE, "").strip(), environment, Path.home())
