"""A tiny MCP server over stdio, with one tool whose full name is longer than the service allows."""

from __future__ import annotations

import json
import sys
from typing import Any

SERVER = "register_of_persons"
TOOL = "look_up_the_secret_word_of_a_person_in_the_very_long_register"
FULL_NAME = f"mcp__{SERVER}__{TOOL}"  # 87 characters; the service takes 64

_LISTED = {
    "name": TOOL,
    "inputSchema": {  # no description, and a reference: both happen with real servers
        "type": "object",
        "properties": {"person": {"$ref": "#/$defs/name"}},
        "required": ["person"],
        "$defs": {"name": {"type": "string", "minLength": 1}},
    },
}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": SERVER, "version": "1"},
            }
        case "tools/list":
            return {"tools": [_LISTED]}
        case "tools/call":
            word = f"the word of {params['arguments']['person']} is xylophone"
            return {"content": [{"type": "text", "text": word}]}
    return None


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue  # a notification
        reply = answer(asked["method"], asked.get("params", {}))
        said = (
            {"error": {"code": -32601, "message": "unknown"}}
            if reply is None
            else {"result": reply}
        )
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)


if __name__ == "__main__":
    main()
