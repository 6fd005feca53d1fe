"""Names that fit, come back, and never meet."""

import re

from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.tools import Declared, ToolNames, shortened
from kiroproxy.api.turn import Tool
from tests.api.turns import NAMES, PROPERTY

FIT = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")


def test_fitting_names_stay() -> None:
    names = ToolNames(["Bash", "mcp__srv__tool", "a" * 64])
    assert names.upstream("Bash") == "Bash"
    assert names.upstream("a" * 64) == "a" * 64
    assert names.renamed() == {}


def test_long_names_keep_their_beginning_and_get_a_hash() -> None:
    long = "mcp__" + "server" * 20
    short = ToolNames([long]).upstream(long)
    assert re.fullmatch(r"mcp__(?:server)+\w*_[0-9a-f]{8}", short)
    assert len(short) == 64
    assert ToolNames([long, "Bash"]).upstream(long) == short


def test_unfit_first_letters_and_characters() -> None:
    assert FIT.fullmatch(shortened("9lives"))
    assert FIT.fullmatch(shortened(""))
    assert FIT.fullmatch(shortened("ü.é/"))
    assert shortened("mcp.a/b").startswith("mcp_a_b_")


def test_taken_short_name_gives_way() -> None:
    long = "x" * 80
    squatter = shortened(long)
    names = ToolNames([long, squatter])
    assert names.upstream(squatter) == squatter
    assert names.upstream(long) == shortened(long, 1)
    assert names.renamed() == {shortened(long, 1): long}


def test_history_name_that_is_taken_is_renamed() -> None:
    long = "x" * 80
    names = ToolNames([long])
    squatter = names.upstream(long)
    assert names.upstream(squatter) != squatter
    assert names.upstream("Gone") == "Gone"
    assert names.upstream("gone.tool") != "gone.tool"


@given(st.lists(NAMES | st.text(max_size=100), max_size=12), st.lists(NAMES, max_size=6))
@PROPERTY
def test_names_any_fit_are_unique_and_map_back(declared: list[str], past: list[str]) -> None:
    names = ToolNames(declared)
    sent = {name: names.upstream(name) for name in declared}
    others = [names.upstream(name) for name in past]
    assert all(FIT.fullmatch(name) for name in [*sent.values(), *others])
    assert len(set(sent.values())) == len(sent)
    back = names.renamed()
    assert {name: back.get(sent[name], sent[name]) for name in sent} == {
        name: name for name in sent
    }


def test_declared_takes_each_name_once() -> None:
    declared = Declared()
    declared.add(Tool("a", "first", {}), "a")
    declared.add(Tool("a", "second", {}), "a")
    declared.add_past("a")
    declared.add_past("b")
    assert [spec["toolSpecification"]["name"] for spec in declared.specs] == ["a", "b"]


def test_declared_moves_only_what_is_too_long() -> None:
    declared = Declared()
    declared.add(Tool("a", "d" * 10_240, {}), "a")
    assert declared.moved == []
    declared.add(Tool("b", "d" * 10_241, {}), "b")
    assert declared.moved == ["# Tool b\n\n" + "d" * 10_241]
    assert len(declared.specs[1]["toolSpecification"]["description"]) < 200
