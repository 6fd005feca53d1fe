"""Settings: one table of names, one frozen dataclass a group, one place that reads them."""

from kiroproxy.config.files import VARIABLE, ConfigFile, default_path, find
from kiroproxy.config.groups import Limits, Log, Pool, Prompt, Server, Upstream
from kiroproxy.config.loading import COMMAND_LINE, Config, load
from kiroproxy.config.table import CREDENTIAL_SETTINGS, SETTINGS
from kiroproxy.values import is_loopback

__all__ = [
    "COMMAND_LINE",
    "CREDENTIAL_SETTINGS",
    "SETTINGS",
    "VARIABLE",
    "Config",
    "ConfigFile",
    "Limits",
    "Log",
    "Pool",
    "Prompt",
    "Server",
    "Upstream",
    "default_path",
    "find",
    "is_loopback",
    "load",
]
