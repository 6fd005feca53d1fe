"""The provider's web search as an entry of a tools list: one reading for all dialects' spellings."""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.checks import Object, Path, array, filled_text, mapping, positive
from kiroproxy.api.ignored import Ignored, is_set
from kiroproxy.api.search import SEARCH_TOOL
from kiroproxy.api.turn import Tool, WebSearch

PREFIX: Final = "web_search"  # of the types, which have dates or ``_preview`` behind it
_DOMAINS: Final = ("allowed_domains", "blocked_domains")
_READ: Final = frozenset({"type", "name", "max_uses", "filters", "cache_control", *_DOMAINS})
# All else has no effect: the service's search has one kind of result, is always of the live web, and
# knows nothing of the user.
_NEUTRAL: Final[dict[str, Any]] = {"external_web_access": True}


def hosted_search(tool: Object, path: Path, ignored: Ignored) -> WebSearch:
    """``max_uses``, and the domains, which stand in ``filters`` in the Responses API. Domains are kept
    to by leaving results out. Raises RequestError."""
    search = WebSearch(SEARCH_TOOL)
    if tool.get("max_uses") is not None:
        search.max_uses = positive(tool["max_uses"], path, "max_uses")
    given = tool.get("filters")
    filters = mapping(given, path, "filters") if given is not None else {}
    for name in _DOMAINS:
        found = [*_domains(tool, path, name), *_domains(filters, (*path, "filters"), name)]
        setattr(search, name, tuple(found))
    unread = (key for key in tool.keys() - _READ if tool[key] != _NEUTRAL.get(key))
    ignored.update(f"tools.{key}" for key in unread if is_set(tool[key]))
    unread = (key for key in filters if key not in _DOMAINS and is_set(filters[key]))
    ignored.update(f"tools.filters.{key}" for key in unread)
    return search


def is_hosted(tool: Any) -> bool:
    """An entry with the search's type, and no function: clients have functions of that name."""
    if not isinstance(tool, dict):
        return False
    kind = tool.get("type")
    own = any(key in tool for key in ("function", "parameters", "input_schema"))
    return isinstance(kind, str) and kind.startswith(PREFIX) and not own


def without_own_search(
    search: WebSearch | None, tools: list[Tool], ignored: Ignored
) -> WebSearch | None:
    """``search`` unless the client has a function of that name, which is the one that is meant then."""
    if search is not None and any(tool.name.lower() == SEARCH_TOOL for tool in tools):
        ignored.add(f"tools.{SEARCH_TOOL}")
        return None
    return search


def _domains(holder: Object, path: Path, name: str) -> list[str]:
    entries = array(holder.get(name), path, name)
    return [filled_text(entry, path, name, index) for index, entry in enumerate(entries)]
