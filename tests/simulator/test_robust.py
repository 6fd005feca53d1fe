"""Whatever a body holds, the checker answers, and the model answers what the checker lets pass."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.simulator.catalogue import CATALOGUE, by_id
from kiroproxy.simulator.checker import check_request, check_shape
from kiroproxy.simulator.model import respond
from kiroproxy.simulator.view import open_view
from tests.simulator.bodies import Body, assistant, body, document, image, tool_turn, user

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYWORDS = st.sampled_from(
    [
        "",
        "type",
        "properties",
        "required",
        "items",
        "anyOf",
        "format",
        "minLength",
        "enum",
        "default",
    ]
)
SCHEMAS = st.dictionaries(KEYWORDS, JSON, max_size=4)
START = [
    tool_turn(),
    body(user("run x", images=[image()], documents=[document()]), profileArn="x"),
    body(user("a"), assistant("b"), user("c", "claude-sonnet-5"), additionalModelRequestFields={}),
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at]
    for key, child in inner if isinstance(value, dict | list) else ():
        found += paths(child, (*at, key)) if isinstance(child, dict | list) else [(*at, key)]
    return found


def replaced(value: Body, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed: Any = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return changed


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_body_breaks_the_checker_or_the_model(data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(START))
    path = data.draw(st.sampled_from(paths(start)))
    changed = replaced(start, path, data.draw(JSON | SCHEMAS))
    found = check_request(orjson.dumps(changed))
    assert all(violation.refusal.status >= 400 for violation in found)
    if not check_shape(changed):
        respond(open_view(changed, by_id(CATALOGUE), None, None))


@settings(max_examples=150, deadline=None)
@given(schema=SCHEMAS, words=st.sampled_from(["run ls", "use the Bash tool", "read x", "hi"]))
def test_no_schema_breaks_the_model(schema: Body, words: str) -> None:
    changed = tool_turn()
    message = user(
        words,
        userInputMessageContext={
            "tools": [
                {
                    "toolSpecification": {
                        "name": name,
                        "description": "d",
                        "inputSchema": {"json": schema},
                    }
                }
                for name in ("Bash", "Read", "StructuredOutput")
            ]
        },
    )
    changed["conversationState"] = body(message)["conversationState"]
    check_request(orjson.dumps(changed))
    respond(open_view(changed, by_id(CATALOGUE), None, None))
