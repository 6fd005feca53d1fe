"""Edits in TOML text: exact lines, and nothing else touched."""

from __future__ import annotations

import pytest

from kiroproxy.cli.setup import tomltext
from kiroproxy.cli.setup.document import Document
from kiroproxy.cli.setup.values import ABSENT, Keys

MODEL: Keys = ("model",)
URL: Keys = ("model_providers", "kiro", "base_url")

PUT = {
    "empty": (MODEL, "", 'model = "new"\n'),
    "before the first table": (
        MODEL,
        "# mine\n[a]\nb = 1\n",
        'model = "new"\n\n# mine\n[a]\nb = 1\n',
    ),
    "behind the last one of the top": (
        MODEL,
        "x = 1 # one\n\n[a]\nmodel = 2\n",
        'x = 1 # one\nmodel = "new"\n\n[a]\nmodel = 2\n',
    ),
    "in place, with its comment": (
        MODEL,
        "model  =  'old' # \"mine\"\nx=1\n",
        'model  =  "new" # "mine"\nx=1\n',
    ),
    "not inside a string of several lines": (
        MODEL,
        'notes = """\nmodel = "no"\n[a]\n"""\nmodel = "old"\n',
        'notes = """\nmodel = "no"\n[a]\n"""\nmodel = "new"\n',
    ),
    "not inside an array": (
        MODEL,
        "list = [ # [\n  'model = 1',\n]\nmodel = 1\n",
        "list = [ # [\n  'model = 1',\n]\nmodel = \"new\"\n",
    ),
    "a new table": (
        URL,
        "x = 1",
        'x = 1\n\n[model_providers.kiro]\nbase_url = "new"\n',
    ),
    "into its table": (
        URL,
        "[model_providers.kiro]\nname = 'k'\n\n# tail\n[z]\n",
        "[model_providers.kiro]\nname = 'k'\nbase_url = \"new\"\n\n# tail\n[z]\n",
    ),
    "quoted names": (
        URL,
        '["model_providers" . \'kiro\']\n"base_url" = "old"\n',
        '["model_providers" . \'kiro\']\n"base_url" = "new"\n',
    ),
    "dotted": (
        URL,
        "[model_providers]\nkiro.base_url = 'old'\nkiro.name = 'k'\n",
        "[model_providers]\nkiro.base_url = \"new\"\nkiro.name = 'k'\n",
    ),
    "line ends": (MODEL, "x = 1\r\n[a]\r\n", 'x = 1\r\nmodel = "new"\r\n[a]\r\n'),
    "no line end": (MODEL, "x = 1", 'x = 1\nmodel = "new"\n'),
    "byte order mark": (MODEL, "\ufeffx = 1\n", '\ufeffx = 1\nmodel = "new"\n'),
}


@pytest.mark.parametrize("case", PUT)
def test_put(case: str) -> None:
    keys, before, after = PUT[case]
    assert tomltext.edit(before, {keys: "new"}) == after
    assert Document(".toml", before.encode()).edit({keys: "new"}).text() == after


def test_remove() -> None:
    text = "a = 1\nmodel = 'x' # y\nb = 2\n\n[t]\n"
    assert tomltext.edit(text, {MODEL: ABSENT}) == "a = 1\nb = 2\n\n[t]\n"
    assert tomltext.edit(text, {("t",): ABSENT}) == "a = 1\nmodel = 'x' # y\nb = 2\n"
    assert tomltext.edit(text, {("none",): ABSENT}) == text


@pytest.mark.parametrize(
    "text",
    [
        "model_providers = { kiro = { name = 'x' } }\n",
        "model_providers.kiro = { name = 'x' }\n",
        "[[model_providers.kiro]]\nname = 'x'\n",
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"by hand|must hold named values"):
        Document(".toml", text.encode()).edit({URL: "new"})


def test_no_toml_is_refused_with_the_place() -> None:
    with pytest.raises(ValueError, match=r"is not TOML .*line 2"):
        Document(".toml", b"a = 1\nb = = 2\n").edit({URL: "new"})
