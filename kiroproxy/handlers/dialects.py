"""The dialects as values: what makes each API different from the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kiroproxy.api.anthropic import MessageFold, MessagesEncoder
from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.openai import ChatEncoder, ChatFold, ResponsesEncoder, ResponsesFold
from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.chat_wire import style_of
from kiroproxy.api.openai.responses_message import CompactionFold
from kiroproxy.api.openai.responses_request import parse_responses_request
from kiroproxy.api.openai.responses_request import style_of as responses_style_of
from kiroproxy.handlers.answers import Dialect
from kiroproxy.handlers.responses import response_id

MESSAGES: Final = Dialect(
    name="messages",
    parse=parse_messages_request,
    make_id=lambda request_id: "msg_" + request_id.removeprefix("req_"),
    encoder=lambda message_id, turn, _: MessagesEncoder(message_id, turn.model),
    fold=lambda message_id, turn, _: MessageFold(message_id, turn.model),
)
CHAT: Final = Dialect(
    name="chat",
    parse=parse_chat_request,
    make_id=lambda request_id: "chatcmpl-" + request_id.removeprefix("req_"),
    encoder=lambda chat_id, turn, created: ChatEncoder(
        chat_id, turn.model, created, style_of(turn)
    ),
    fold=lambda chat_id, turn, created: ChatFold(chat_id, turn.model, created, style_of(turn)),
)
RESPONSES: Final = Dialect(
    name="responses",
    parse=parse_responses_request,
    make_id=response_id,
    encoder=lambda own_id, turn, created: ResponsesEncoder(
        own_id, turn.model, created, responses_style_of(turn)
    ),
    fold=lambda own_id, turn, created: ResponsesFold(
        own_id, turn.model, created, responses_style_of(turn)
    ),
)
COMPACT: Final = replace(
    RESPONSES,
    fold=lambda own_id, turn, created: CompactionFold(own_id, created, responses_style_of(turn)),
)
