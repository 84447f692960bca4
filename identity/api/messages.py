"""ASGI's messages of a request, read in front of the application, and given back to it where somebody else answers."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def read_messages(receive: Receive, max_bytes: int) -> list[Message]:
    """As far as the body's end, or its bound."""
    messages = [await receive()]
    size = len(messages[0].get("body", b""))
    while messages[-1].get("more_body") and size <= max_bytes:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
    return messages


def whole(messages: list[Message]) -> bytes | None:
    last = messages[-1]
    if last["type"] != "http.request" or last.get("more_body"):
        return None
    body: bytes = last["body"] if len(messages) == 1 else b"".join(each["body"] for each in messages)
    return body


def again_from(messages: list[Message], receive: Receive) -> Receive:
    """What was read already, and then the rest."""

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


def raising(error: BaseException) -> ASGIApp:
    async def raise_it(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return raise_it
