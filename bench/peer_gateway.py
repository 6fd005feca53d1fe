"""Starts kiro-openai-gateway in front of an upstream on loopback; run by the Python that has it.

Run: ``python peer_gateway.py PORT UPSTREAM_PORT``. It knows its service by a template of host names, which
is all that is changed; everything else is as its own ``kiro-gateway`` command does it.
"""

# mypy: ignore-errors
import sys

import uvicorn
from kiro_gateway import config

port, upstream_port = sys.argv[1:]
config.KIRO_API_HOST_TEMPLATE = f"http://127.0.0.1:{upstream_port}"
config.KIRO_Q_HOST_TEMPLATE = config.KIRO_API_HOST_TEMPLATE

from kiro_gateway.main import UVICORN_LOG_CONFIG, app  # noqa: E402  it reads the template once

uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=UVICORN_LOG_CONFIG)
