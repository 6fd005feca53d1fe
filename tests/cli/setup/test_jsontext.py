"""Edits in JSON text: exact bytes, and nothing else touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.cli.setup import jsontext
from kiroproxy.cli.setup.document import Document
from kiroproxy.cli.setup.values import ABSENT, changed

ENV = ("env", "A")

PUT = {
    "empty file": ("", '{\n  "env": {\n    "A": "1"\n  }\n}\n'),
    "empty object": ("{}", '{\n  "env": {\n    "A": "1"\n  }\n}'),
    "own indentation": (
        '{\n\t"x": 1\n}\n',
        '{\n\t"x": 1,\n\t"env": {\n\t\t"A": "1"\n\t}\n}\n',
    ),
    "line ends": (
        '{\r\n    "x": 1\r\n}',
        '{\r\n    "x": 1,\r\n    "env": {\r\n        "A": "1"\r\n    }\r\n}',
    ),
    "byte order mark": ("\ufeff{}", '\ufeff{\n  "env": {\n    "A": "1"\n  }\n}'),
    "one line": ('{"x":1, "env":{"B":2}}', '{"x":1, "env":{"B":2, "A":"1"}}'),
    "other order and value": (
        '{"env": {"A": "old",   "B": "2"}, "x": [1,2]}',
        '{"env": {"A": "1",   "B": "2"}, "x": [1,2]}',
    ),
    "escaped names": (
        '{"\\u0065nv": {"\\u0041": 5, "u": "//no comment"}}',
        '{"\\u0065nv": {"\\u0041": "1", "u": "//no comment"}}',
    ),
}


@pytest.mark.parametrize("case", PUT)
def test_put(case: str) -> None:
    before, after = PUT[case]
    assert jsontext.edit(before, {ENV: "1"}) == after
    assert jsontext.edit(after, {ENV: "1"}) == after


REMOVE = {
    "first": ('{"env": {"A": 1, "B": 2}}', '{"env": {"B": 2}}'),
    "middle": ('{"env": {\n"C": 0,\n"A": 1,\n"B": 2}}', '{"env": {\n"C": 0,\n"B": 2}}'),
    "last": ('{"env": {\n  "B": 2,\n  "A": 1\n}}', '{"env": {\n  "B": 2\n}}'),
    "only": ('{"env": {\n  "A": 1\n}}', '{"env": {}}'),
    "missing": ('{"env": {"B": 2}}', '{"env": {"B": 2}}'),
    "no container": ('{"x": 2}', '{"x": 2}'),
}


@pytest.mark.parametrize("case", REMOVE)
def test_remove(case: str) -> None:
    before, after = REMOVE[case]
    assert jsontext.edit(before, {ENV: ABSENT}) == after


WRONG = {
    '{"a": }': "is not JSON (line 1, column 7",
    "[1]": "must be a JSON object",
    '{"a": NaN}': "NaN is no JSON number",
    "{'a': 1}": "is not JSON",
    '{"a": 1': "is not JSON",
    '{"a": 1,}': "is not JSON",
    '{"a": 1} // mine': "is not JSON (line 1, column 10",
    "[" * 100_000: "is nested too deeply",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:10])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not JSON|must be|nested") as refused:
        jsontext.parse(text)
    assert WRONG[text] in str(refused.value)


def test_a_container_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="env must hold named values"):
        Document(".json", b'{"env": [1]}').edit({ENV: "1"})


keys = st.text(max_size=4) | st.sampled_from(["env", "A", "B"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=4).filter(
    lambda value: isinstance(value.get("env", {}), dict)
)


@given(objects, values, st.sampled_from([None, 0, 1, 4, "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_any_object_in_any_layout(
    document: dict[str, Any], value: Any, indent: int | str | None, newline: str
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False).replace("\n", newline)
    before = Document(
        ".json", text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    )
    put = before.edit({ENV: value, ("hasCompletedOnboarding",): True})
    assert put.parse() == changed(before.parse(), {ENV: value, ("hasCompletedOnboarding",): True})
    gone = put.edit({ENV: ABSENT})
    assert "A" not in gone.parse()["env"]
