"""The names that users of kiro2api and AIClient-2-API have in their settings: what becomes of them.

docs/configuration.md shows these tables; tests/test_docs.py holds the two together.
"""

from __future__ import annotations

from typing import Final

DEFAULT_KEY: Final = "123456"
"""Both programs' default key: known to everybody, so no key at all."""

PROVIDER: Final = "claude-kiro-oauth"

# Variables of kiro2api, in any of its versions, that have no effect here → why.
NO_EFFECT: Final = {
    "AUTH_METHOD": "each sign-in says itself what it is",
    "CACHE_CLEANUP_INTERVAL": "there is no such cache",
    "TOKEN_CACHE_HOT_THRESHOLD": "there is no such cache",
    "USAGE_CHECK_INTERVAL": "quotas are asked for every ten minutes",
    "TOKEN_USAGE_THRESHOLD": "an alert on kiro2api_token_usage_remaining tells it",
    "ENABLE_INCREMENTAL_TOOL_EVENTS": "tool input is always passed on as it comes",
    "SAVE_RAW_DATA": "PROMPT_LOG_MODE logs prompts and answers",
    "LOG_ENABLE_CALLER": "log lines name the logger, not the line of code",
    "LOG_CALLER": "log lines name the logger, not the line of code",
    "LOG_CALLER_SKIP": "log lines name the logger, not the line of code",
}

# Keys of AIClient-2-API's config.json → our names. Those that are not here are named as unknown.
RENAMED: Final = {
    "REQUIRED_API_KEY": "KIRO_CLIENT_TOKEN",
    "SERVER_PORT": "PORT",
    "HOST": "HOST",
    "KIRO_OAUTH_CREDS_BASE64": "KIRO_OAUTH_CREDS_BASE64",
    "KIRO_OAUTH_CREDS_FILE_PATH": "KIRO_OAUTH_CREDS_FILE_PATH",
    "KIRO_OAUTH_CREDS_DIR_PATH": "KIRO_OAUTH_CREDS_DIR_PATH",
    "PROVIDER_POOLS_FILE_PATH": "PROVIDER_POOLS_FILE_PATH",
    "REQUEST_MAX_RETRIES": "REQUEST_MAX_RETRIES",
    "REQUEST_BASE_DELAY": "REQUEST_BASE_DELAY",
    "CRON_NEAR_MINUTES": "CRON_NEAR_MINUTES",
    "CRON_REFRESH_TOKEN": "CRON_REFRESH_TOKEN",
    "SYSTEM_PROMPT_FILE_PATH": "SYSTEM_PROMPT_FILE_PATH",
    "SYSTEM_PROMPT_MODE": "SYSTEM_PROMPT_MODE",
    "PROMPT_LOG_MODE": "PROMPT_LOG_MODE",
    "AXIOS_TIMEOUT": "KIROPROXY_FIRST_BYTE_TIMEOUT_S",
    "LOG_LEVEL": "LOG_LEVEL",
    "LOG_ENABLED": "LOG_CONSOLE",
}
PATHS: Final = frozenset(
    {
        "KIRO_OAUTH_CREDS_FILE_PATH",
        "KIRO_OAUTH_CREDS_DIR_PATH",
        "PROVIDER_POOLS_FILE_PATH",
        "SYSTEM_PROMPT_FILE_PATH",
    }
)
IN_MILLISECONDS: Final = frozenset({"AXIOS_TIMEOUT"})

# Keys of that file that have no effect here → why.
CONFIG_NO_EFFECT: Final = {
    "PROMPT_LOG_BASE_NAME": "the files are named by their day",
    "LOG_OUTPUT_MODE": "LOG_CONSOLE and LOG_FILE say where the log goes",
    "LOG_DIR": "LOG_FILE names the file",
    "LOG_INCLUDE_REQUEST_ID": "every line has it",
    "LOG_INCLUDE_TIMESTAMP": "every line has it",
    "LOG_MAX_FILE_SIZE": "rotating is left to the system",
    "LOG_MAX_FILES": "rotating is left to the system",
    "MAX_ERROR_COUNT": "an account rests by what the service says",
    "CREDENTIAL_SWITCH_MAX_RETRIES": "as many accounts are tried as there are",
    "FORCE_MAX_TOKENS": "max_tokens of the request counts",
    "providerFallbackChain": "there is one provider",
    "modelFallbackMapping": "there is one provider; see MODEL_ALIASES",
    "PROXY_URL": "set HTTPS_PROXY",
    "PROXY_ENABLED_PROVIDERS": "set HTTPS_PROXY",
    "USE_SYSTEM_PROXY_KIRO": "HTTPS_PROXY and the like are always honoured",
}
