"""What comes back to us: sealed content from clients, kept responses and their replay and pages."""

from __future__ import annotations

from typing import Any

import orjson

from fuzz import samples
from fuzz.source import Source, as_json, edited
from kiroproxy.api.openai.responses_past import page, references, with_ids
from kiroproxy.api.openai.responses_replay import replay
from kiroproxy.api.openai.sealed import seal, unseal
from kiroproxy.errors import RequestError


def target(data: bytes) -> None:
    source = Source(data)
    (_sealed, _page, _replay)[source.byte() % 3](source)


def _sealed(source: Source) -> None:
    text = source.rest().decode("utf-8", "replace")
    for given in (text, "kiroproxy.1." + text):
        content = unseal(given)
        if content is not None:
            assert unseal(seal(content)) == content
    assert unseal(seal({"text": text})) == {"text": text}


def _page(source: Source) -> None:
    wanted = {name: source.block().decode("latin-1") for name in ("after", "limit", "order")}
    items = edited(samples.RESPONSES[0]["input"], source)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return
    try:
        references(items)
        found = page(with_ids(items, "resp_0"), wanted)
    except RequestError:
        return
    assert isinstance(found["data"], list)


def _replay(source: Source) -> None:
    """Only what we wrote is replayed, so the text in it changes and its shape does not."""
    after = source.byte() - 2
    texts = [source.block().decode("utf-8", "replace") for _ in range(4)]
    response: dict[str, Any] = orjson.loads(as_json(samples.RESPONSE))
    output = response["output"]
    output[0]["summary"][0]["text"] = texts[0]
    output[1]["content"][0]["text"] = texts[1]
    output[2]["arguments"] = texts[2]
    output[3]["input"] = texts[3]
    chosen = source.byte()
    response["output"] = [item for place, item in enumerate(output) if not chosen >> place & 1]
    response["status"] = source.choice(("completed", "incomplete", "failed"))
    stream = replay(orjson.dumps(response), after).decode()
    events = [block.split("\n") for block in stream.removesuffix("\n\n").split("\n\n")]
    numbers = [orjson.loads(data.removeprefix("data: "))["sequence_number"] for _, data in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert events[-1][0] == f"event: response.{response['status']}"


def seeds() -> list[bytes]:
    return [
        b"\x00eyJhIjoiYiJ9",
        b"\x00W10=",
        b"\x01\x00\x0220\x03asc",
        b"\x01\x05msg_0\x0510000\x04desc\x01\x02\x03\x04",
        b"\x02\x00",
        b'\x02\x05\x01a\x02b\n\x03{"}\x01x\x15\x01',
        "\x02\x00\x03é\u2028\x00\x00\x00".encode(),
    ]
