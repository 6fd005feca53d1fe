"""The simulator as a process of the soak: ``python -m bench.soak_service PORT``.

Answers each line on stdin with one JSON line: ``{"open": streams that are being sent now}``.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bench.loops import run
from kiroproxy.simulator import Settings, Simulator

TOKEN_LIFE_S = 120.0  # renewals all along


async def serve(port: int) -> None:
    settings = Settings(pace_s=0.0, token_ttl_s=TOKEN_LIFE_S, keep_requests=100)
    for account in settings.accounts:
        account.credits_limit = 1e9
    simulator = Simulator(settings)
    await simulator.start(port=port)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while await lines.readline():
        sys.stdout.write(json.dumps({"open": simulator.open_streams}) + "\n")
        sys.stdout.flush()
    await simulator.stop()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
