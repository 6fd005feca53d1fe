"""Options that both OpenAI dialects spell alike: answer format, effort, limits, what cannot be done."""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.checks import (
    Object,
    Path,
    array,
    fail,
    filled_text,
    flag,
    free_form,
    mapping,
    optional_text,
    positive,
    text,
)
from kiroproxy.api.ignored import Ignored, is_set, note_unread
from kiroproxy.api.openai.keys import FORMATS
from kiroproxy.api.stops import MAX_SEQUENCES
from kiroproxy.api.turn import Thinking, ThinkingKind
from kiroproxy.kiro.fields import EFFORTS

_ANY_OBJECT: Final[Object] = {"type": "object"}
_AROUND: Final = frozenset({"type", "json_schema"})
_EFFORT_WORDS: Final = {"minimal": "low", **{word: word for word in EFFORTS}}
# Values that say the same as leaving the field out, so there is nothing to name as ignored.
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "background": (False,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "temperature": (1,),
    "top_logprobs": (0,),
    "top_p": (1,),
    "truncation": ("disabled",),
}


def without_neutral(request: Object) -> Object:
    """``request`` without the fields that ask for nothing but the API's own default."""
    return {key: value for key, value in request.items() if value not in _NEUTRAL.get(key, ())}


def parse_format(value: object, path: Path, ignored: Ignored) -> dict[str, Any] | None:
    """``response_format`` and ``text.format`` → the schema to hold the answer to, or None.

    The schema stands in ``json_schema`` in Chat Completions and in the format itself in Responses.
    """
    if value is None:
        return None
    form = mapping(value, path)
    kind = filled_text(form.get("type"), path, "type")
    if kind not in FORMATS:
        fail((*path, "type"), "must be text, json_object or json_schema")
    place = ".".join(map(str, path))
    if kind == "json_schema" and form.get("json_schema") is not None:
        note_unread(form, _AROUND, place, ignored)
        path = (*path, "json_schema")
        form = mapping(form["json_schema"], path)
        place += ".json_schema"
    elif kind == "json_schema" and form.get("schema") is None:
        missing = "schema" if path[0] == "text" else "json_schema"
        fail((*path, missing), "must be an object")
    note_unread(form, FORMATS[kind], place, ignored)
    if kind == "text":
        return None
    if kind == "json_object":
        return _ANY_OBJECT
    schema = _ANY_OBJECT
    if form.get("schema") is not None:
        schema = free_form(form["schema"], path, "schema")
    about = optional_text(form.get("description"), path, "description")
    if about and "description" not in schema:
        return {"description": about, **schema}  # the model reads the schema
    if about and schema["description"] != about:
        ignored.add(f"{place}.description")
    return schema


def parse_effort(value: object, path: Path, ignored: Ignored) -> Thinking:
    """``reasoning_effort`` and ``reasoning.effort`` → Thinking; absent and ``none`` are off."""
    effort = optional_text(value, path)
    if effort in ("", "none"):
        return Thinking()
    word = _EFFORT_WORDS.get(effort)
    if word is None:
        ignored.add(".".join(map(str, path)))
        return Thinking()
    return Thinking(ThinkingKind.ADAPTIVE, effort=word)


def parse_limit(request: Object, *names: str) -> int | None:
    """The first of the fields ``names`` that is set; each must be right."""
    limits = [positive(request[name], (name,)) for name in names if request.get(name) is not None]
    return limits[0] if limits else None


def parse_stream_options(value: object, ignored: Ignored) -> bool:
    """``stream_options`` → whether the usage is to come in a chunk of its own. No answer is padded, so
    that ``include_obfuscation: false`` is what there is."""
    at = ("stream_options",)
    options = mapping(value, at) if value is not None else {}
    unread = (key for key in options if key not in _STREAM_OPTIONS and is_set(options[key]))
    ignored.update(f"stream_options.{key}" for key in unread)
    if flag(options.get("include_obfuscation"), at, "include_obfuscation"):
        ignored.add("stream_options.include_obfuscation")
    return flag(options.get("include_usage"), at, "include_usage")


_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})


def parse_stop(value: object) -> tuple[str, ...]:
    """One stop sequence or a list of them; empty ones count for nothing."""
    if isinstance(value, str):
        return (value,) if value else ()
    if value is not None and not isinstance(value, list):
        fail(("stop",), "must be a string or a list of strings")
    given = array(value, ("stop",))
    if len(given) > MAX_SEQUENCES:
        fail(("stop",), f"must have at most {MAX_SEQUENCES} entries")
    sequences = (text(item, ("stop", at)) for at, item in enumerate(given))
    return tuple(sequence for sequence in sequences if sequence)


def refuse_unsupported(request: Object) -> None:
    """What would change the answer's form and cannot be done: more choices, probabilities, sound."""
    if request.get("n") is not None and positive(request["n"], ("n",)) > 1:
        fail(("n",), "only one choice can be made; ask again for another")
    for name in ("logprobs", "top_logprobs"):
        if request.get(name) not in (None, False, 0):
            fail((name,), "the service gives no probabilities")
    if request.get("audio") is not None:
        fail(("audio",), "audio is not supported")
    if "audio" in array(request.get("modalities"), ("modalities",)):
        fail(("modalities",), "audio is not supported")
