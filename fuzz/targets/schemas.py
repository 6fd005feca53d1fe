"""JSON schemas of clients: made fit for the service, and answers checked against them."""

from __future__ import annotations

from typing import Any

import orjson

from fuzz import samples
from fuzz.source import Source, as_json, edited
from kiroproxy.api.checks import free_form
from kiroproxy.api.fitting import complaints
from kiroproxy.api.schemas import fit_schema
from kiroproxy.errors import RequestError

_VALUES: tuple[Any, ...] = (
    {"path": "a", "lines": [1, 2.5], "kind": "a"},
    [],
    None,
    1,
    "x",
    {"path": None, "more": {}},
)


def target(data: bytes) -> None:
    source = Source(data)
    if data[:1] == b"{":
        text, answer = data, as_json(_VALUES[0])
    else:
        answer = as_json(edited(source.choice(_VALUES), Source(source.block())))
        text = as_json(edited(samples.SCHEMA, source))
    try:
        schema = free_form(orjson.loads(text), ("schema",))
    except (orjson.JSONDecodeError, RequestError):
        return
    fitted = orjson.loads(fit_schema(schema))
    assert fitted["type"] == "object"
    for complaint in complaints(answer.decode(), schema):
        assert complaint


def seeds() -> list[bytes]:
    return [
        orjson.dumps(samples.SCHEMA),
        *(bytes([number, 0]) for number in range(len(_VALUES))),
        *(bytes([0, 2, place, place % 8, place, place % 8, 3]) for place in range(24)),
        b'{"$ref":"#"}',
        b'{"properties":{"a":{"$ref":"#/properties/a"}}}',
        b'{"allOf":[{"$ref":"#/allOf/0"},{"not":{}}]}',
        b'{"patternProperties":{"(a+)+$":{}},"pattern":"("}',
    ]
