"""What dense requests take: memory and processor time, beside what they count as (api/density.py).

Run: ``python -m bench.density``. Each body has as many values as are taken in, in another shape, and a
process of its own that reads it, makes the service's body of it and writes how far its memory rose.
Linux only (it reads /proc). ``times`` is memory by what the request counts as; an ordinary request is the
last row.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from bench.workloads import big_request
from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.density import MAX_VALUES, VALUE_BYTES
from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.responses_request import parse_responses_request
from kiroproxy.api.to_kiro import build
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.cli.process import settle
from kiroproxy.kiro.models import ModelInfo

MODEL: Final = ModelInfo("claude-sonnet-4.5", "Claude")
PARSERS: Final = {
    "messages": parse_messages_request,
    "chat": parse_chat_request,
    "responses": parse_responses_request,
}
TALK: Final = '{"role":"user","content":"a"},{"role":"assistant","content":"b"}'
SHOWN: Final = '"messages":[{"role":"user","content":"hi"}]'
CALL: Final = '{"id":"%d","function":{"name":"f","arguments":"{}"}}'

#: Dialect, what stands around the units (``@``), a unit, its values.
SHAPES: Final[dict[str, tuple[str, str, str, int]]] = {
    "messages": ("messages", '"messages":[@]', TALK, 6),
    "texts": ("messages", '"messages":[{"role":"user","content":[@]}]', '{"type":"text","text":"a"}', 3),
    "tools": ("messages", SHOWN + ',"tools":[@]', '{"name":"f%d","input_schema":{}}', 3),
    "arrays in a schema": (
        "messages",
        SHOWN + ',"tools":[{"name":"f","input_schema":{"properties":{"a":{"enum":[@]}}}}]',
        "[]",
        1,
    ),
    "fields nobody reads": ("messages", SHOWN + ",@", '"%d":1', 1),
    "chat messages": ("chat", '"messages":[@]', TALK, 6),
    "chat calls": (
        "chat",
        '"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[@]}]',
        CALL,
        6,
    ),
    "older calls": (
        "chat",
        '"messages":[@]',
        '{"role":"assistant","function_call":{"name":"f"}}',
        4,
    ),
    "chat tools": ("chat", SHOWN + ',"tools":[@]', '{"type":"function","function":{"name":"f%d"}}', 4),
    "items": ("responses", '"input":[@]', TALK, 6),
    "calls": (
        "responses",
        '"input":[@]',
        '{"type":"function_call","call_id":"%d","name":"f","arguments":"{}"}',
        6,
    ),
    "response tools": (
        "responses",
        '"input":"a","tools":[@]',
        '{"type":"function","name":"f%d"}',
        3,
    ),
}  # fmt: skip


def body_of(around: str, unit: str, values: int) -> bytes:
    count = (MAX_VALUES - 100) // values
    units = ",".join(unit % number if "%d" in unit else unit for number in range(count))
    return ('{"model":"claude-sonnet-4.5",' + around.replace("@", units) + "}").encode()


def memory(field: str) -> int:
    """In bytes: VmRSS, or VmHWM for the most since ``take``."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split(field + ":")[1].split()[0]) * 1024


def take(dialect: str, body: bytes) -> tuple[int, int, float]:
    """What it counts as and what it took, in bytes, and seconds of processor time."""
    held = [len(body)]
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # VmHWM begins anew
    before, began_s = memory("VmRSS"), time.process_time()
    turn = PARSERS[dialect](body, lambda name: None, held.append)
    estimate_turn(turn)
    sent = build(turn, MODEL).encode(None)
    took_s = time.process_time() - began_s
    assert sent
    return sum(held), memory("VmHWM") - before + len(body), took_s


def row(name: str, dialect: str, body: bytes) -> None:
    counted, took, took_s = take(dialect, body)
    cells = [f"{size / 1e6:.1f}" for size in (len(body), counted, took)]
    print(f"| {name} | {' | '.join(cells)} | {took / counted:.1f} | {took_s:.2f} |", flush=True)


def main() -> int:
    print(f"{MAX_VALUES} values, {VALUE_BYTES} bytes each\n")
    print(
        "| shape | body, MB | counts as, MB | takes, MB | times | CPU s |\n|---|---|---|---|---|---|"
    )
    settle()
    bodies = {name: (shape[0], body_of(*shape[1:])) for name, shape in SHAPES.items()}
    bodies["a long session"] = ("messages", big_request(400))
    for name, (dialect, body) in bodies.items():
        pid = os.fork()
        if pid == 0:
            row(name, dialect, body)
            return 0
        _, status = os.waitpid(pid, 0)
        if status:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
