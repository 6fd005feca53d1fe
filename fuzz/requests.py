"""What is the same for the requests of every dialect: parse → Turn → the service's request and back."""

from __future__ import annotations

from typing import Any

import orjson

from fuzz.source import Source, as_json, edited
from kiroproxy.api.complexity import is_complex
from kiroproxy.api.density import hold_nothing
from kiroproxy.api.events import TEXT, Ending, Stop, Usage
from kiroproxy.api.ignored import refuse_ignored
from kiroproxy.api.to_kiro import build
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.turn import Turn
from kiroproxy.errors import Kind, RequestError
from kiroproxy.handlers.answers import Dialect
from kiroproxy.kiro.models import FALLBACK, ModelInfo, resolve
from kiroproxy.simulator.catalogue import CATALOGUE
from kiroproxy.simulator.checker import check_request

_MODELS = tuple(
    ModelInfo(m.id, m.id, max_input_tokens=m.max_input_tokens, fields_schema=m.fields_schema)
    for m in CATALOGUE
)
_PLAIN = next(model for model in _MODELS if not model.fields_schema)
_NATIVE = next(m for m in _MODELS if m.fields_schema and m.id.startswith("claude"))
# The service's own limits, which no translation can change: it answers, and the client reads it.
_THE_CLIENTS = frozenset({"content-length", "window", "signature"})

_NEEDED = frozenset({"model", "messages", "input", "max_tokens"})


def run(data: bytes, dialect: Dialect, samples: tuple[dict[str, Any], ...]) -> None:
    """Bytes that begin as JSON are the body itself; all others say how to change a sample."""
    source = Source(data)
    if data[:1] in (b"{", b"[", b'"'):
        body = data
    else:
        body = as_json(edited(_part(samples, source), source))
    try:
        turn = dialect.parse(body, _no_header, hold_nothing)
    except RequestError as error:
        assert error.kind in (Kind.INVALID_REQUEST, Kind.TOO_LARGE), error
        assert error.message
        orjson.dumps([error.message.encode("utf-8", "replace").decode(), error.param and 1])
        return
    _use(turn, dialect)


def _part(samples: tuple[dict[str, Any], ...], source: Source) -> dict[str, Any]:
    """A sample without some of its optional fields: less is faster, and seldom fields meet."""
    sample = samples[source.byte() % len(samples)]
    left_out = source.byte() | source.byte() << 8
    return {
        key: value
        for place, (key, value) in enumerate(sample.items())
        if key in _NEEDED or not left_out >> place % 16 & 1
    }


def _no_header(_name: str) -> None:
    return None


def _use(turn: Turn, dialect: Dialect) -> None:
    """Everything that a request goes through between the parser and the wire."""
    estimate_turn(turn)
    is_complex(turn)
    resolve(turn.model, FALLBACK)
    try:
        refuse_ignored(turn)
    except RequestError:
        pass
    if not turn.unfinished:
        request = build(turn, _NATIVE if len(turn.model) % 2 else _PLAIN)
        breaches = check_request(request.encode(None))
        assert not [b for b in breaches if b.rule not in _THE_CLIENTS], breaches
        request.encode(
            "arn:aws:codewhisperer:us-east-1:1:profile/A", reasoning=False, extra_fields=False
        )
    _answer(turn, dialect)


def _answer(turn: Turn, dialect: Dialect) -> None:
    """The request's own words come back in the answer: echoes must be writable."""
    usage = Usage(1)
    encoder = dialect.encoder(dialect.make_id("req_" + "0" * 24), turn, 0)
    fold = dialect.fold(dialect.make_id("req_" + "0" * 24), turn, 0)
    batch = [(TEXT, "x")]
    stream = (
        encoder.start(usage) + encoder.events(batch) + encoder.finish(Ending(Stop.END_TURN, usage))
    )
    assert stream.endswith(b"\n\n")
    fold.events(batch)
    assert isinstance(orjson.loads(fold.finish(Ending(Stop.END_TURN, usage))), dict)


def seeds(samples: tuple[dict[str, Any], ...]) -> list[bytes]:
    """The samples themselves, whole and in small parts, and edits of each."""
    found = [orjson.dumps(sample) for sample in samples]
    for sample in samples:
        least = {
            key: sample[key]
            for key in ("model", "messages", "input", "max_tokens")
            if key in sample
        }
        found += [orjson.dumps({**least, key: value}) for key, value in sample.items()]
    for number in range(len(samples)):
        found += [bytes([number, 0, 0, place, place % 8, place]) for place in range(1, 60, 5)]
        found += [bytes([number, 0xFF ^ 1 << bit, 0xFF, 9, 3]) for bit in range(8)]
        found.append(bytes([number]))
    return [*found, b"{}", b"[]", b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
            b'{"model":"m","messages":[{"role":"user","content":"a"}],"input":"b","x":' + b"9" * 40 + b"}",
            b"[" * 300]  # fmt: skip
