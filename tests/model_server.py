"""A model's server for tests and demonstrations: OpenAI's chat, responses and audio, and ElevenLabs' voices.

In a test: ``async with ModelServer() as server`` and ``server.url`` as the base URL. As a process of its own, told what
to do over HTTP: ``python -m tests.model_server --port 8900`` (or the path of this file; it needs aiohttp only):

    POST   /control/replies   ["Hello", "Bye {STOP}"]                       to be said, one a request
    POST   /control/faults    [{"status": 429, "retry_after": 1}, {"cut": 2}, {"hold": 0}, {"garbage": true}]
    POST   /control/release                                                 let held requests go on
    GET    /control/requests                                                what was asked so far

A request takes the next fault if there is one, else the next reply; without replies it echoes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

AUDIO_LIMIT = 30 * 1024 * 1024
SPEECH = b"ID3 not really an MP3"


@dataclass(frozen=True)
class Asked:
    """A request as it came in; ``body`` is its JSON, or the fields of a form, where files are (name, size, type)."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """What was said, as (role, content)."""
        said = self.body.get("messages", self.body.get("input", []))
        return [(message["role"], message["content"]) for message in said]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request.

    ``status`` is answered at once, with the text ``says`` as the message. ``hold`` waits until ``release`` after so
    many pieces of a stream (before the answer when 0), then goes on. ``cut`` closes the connection after so many.
    ``is_short`` ends a stream early but in good order. ``garbage`` answers 200 with something else.
    """

    status: int | None = None
    says: str = "something went wrong"
    code: str | None = None
    retry_after: float | None = None
    hold: int | None = None
    cut: int | None = None
    is_short: bool = False
    garbage: str | None = None
    content_type: str = "application/json"


Answer = Callable[[Asked], str]


def echo(asked: Asked) -> str:
    """Repeat what the learner said; ``bye`` ends the dialog."""
    text = asked.messages[-1][1]
    return "Goodbye! {STOP}" if "bye" in text.lower() else f"You said: {text}"


class ModelServer:
    """A server on a free port; ``url`` is its base URL for OpenAI, ``root`` for ElevenLabs.

    ``answer`` makes the reply when none is queued by ``say``. With ``is_counting`` off it reports no tokens; it counts
    words otherwise.
    """

    def __init__(self, answer: Answer = echo, *, is_counting: bool = True) -> None:
        self.answer = answer
        self.is_counting = is_counting
        self.asked: list[Asked] = []
        self.heard = "what was said"
        self.root = ""
        self._replies: deque[str] = deque()
        self._faults: deque[Fault] = deque()
        self._released = asyncio.Event()
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL of the OpenAI interfaces."""
        return f"{self.root}/v1"

    def say(self, *replies: str) -> None:
        """Queue replies."""
        self._replies.extend(replies)

    def fail(self, *faults: Fault) -> None:
        """Queue faults, one for each request to come."""
        self._faults.extend(faults)

    def release(self) -> None:
        """Let held requests go on."""
        self._released.set()
        self._released = asyncio.Event()

    async def wait_for(self, count: int) -> None:
        """Wait until so many requests have come in."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.asked) >= count)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, on any free port if ``port`` is 0."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Let held requests go on and stop listening."""
        self.release()
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=AUDIO_LIMIT)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/responses", self._responses),
                web.post("/v1/audio/transcriptions", self._transcription),
                web.post("/v1/audio/speech", self._speech),
                web.post("/v1/speech-to-text", self._transcription),
                web.post("/v1/text-to-speech/{voice}", self._speech),
                web.post("/control/replies", self._take_replies),
                web.post("/control/faults", self._take_faults),
                web.post("/control/release", self._release),
                web.get("/control/requests", self._show_requests),
            ]
        )
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked, fault = await self._ask(request)
        return await self._reply(request, asked, fault, _completion, _chunks)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        asked, fault = await self._ask(request)
        return await self._reply(request, asked, fault, _response, _events)

    async def _transcription(self, request: web.Request) -> web.StreamResponse:
        _asked, fault = await self._ask(request)
        text = self._replies.popleft() if self._replies else self.heard
        return await self._misbehave(request, fault) or web.json_response({"text": text, "language_code": "en"})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        _asked, fault = await self._ask(request)
        return await self._misbehave(request, fault) or web.Response(body=SPEECH, content_type="audio/mpeg")

    async def _ask(self, request: web.Request) -> tuple[Asked, Fault]:
        body = await _form(request) if request.content_type == "multipart/form-data" else await request.json()
        asked = Asked(request.path, dict(request.headers), body, dict(request.query))
        async with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        return asked, self._faults.popleft() if self._faults else Fault()

    async def _misbehave(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Answer as the fault wants it; ``None`` when the request is to be answered."""
        if fault.status is not None:
            return _error(fault)
        if fault.garbage is not None:
            return web.Response(text=fault.garbage, content_type=fault.content_type)
        if fault.hold == 0:
            await self._released.wait()
        if fault.cut == 0 and request.transport:
            request.transport.abort()
        return None

    async def _reply(
        self, request: web.Request, asked: Asked, fault: Fault, whole: Callable[..., Any], stream: Callable[..., Any]
    ) -> web.StreamResponse:
        if answer := await self._misbehave(request, fault):
            return answer
        text = self._replies.popleft() if self._replies else self.answer(asked)
        usage = _counted(asked, text) if self.is_counting else None
        if asked.body.get("stream"):
            return await self._write(request, fault, stream(text, usage))
        return web.json_response(whole(text, usage))

    async def _write(self, request: web.Request, fault: Fault, events: list[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, event in enumerate(events):
            if number and number == fault.hold:
                await self._released.wait()
            if number == fault.cut:
                if fault.is_short:
                    return response
                if request.transport:
                    request.transport.abort()
            name = f"event: {event['type']}\n" if "type" in event else ""
            await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _take_replies(self, request: web.Request) -> web.Response:
        self.say(*await request.json())
        return web.json_response({})

    async def _take_faults(self, request: web.Request) -> web.Response:
        self.fail(*(Fault(**fault) for fault in await request.json()))
        return web.json_response({})

    async def _release(self, request: web.Request) -> web.Response:
        self.release()
        return web.json_response({})

    async def _show_requests(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(asked) for asked in self.asked])


async def _form(request: web.Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        is_file = isinstance(value, web.FileField)
        fields[name] = (value.filename, len(value.file.read()), value.content_type) if is_file else value
    return fields


def _error(fault: Fault) -> web.Response:
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    body = {"error": {"message": fault.says, "type": "error", "code": fault.code, "param": None}}
    return web.json_response(body, status=fault.status or 500, headers=headers)


def _counted(asked: Asked, text: str) -> tuple[int, int]:
    """Return (input, output) in words."""
    words = [*(content for _, content in asked.messages), asked.body.get("instructions") or ""]
    return sum(len(said.split()) for said in words), len(text.split())


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)


def _completion(text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], **_cost(usage)}


def _chunks(text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    pieces: list[tuple[dict[str, Any], str | None]] = [({"content": word}, None) for word in _words(text)]
    choices = [{"index": 0, "delta": delta, "finish_reason": finish} for delta, finish in [*pieces, ({}, "stop")]]
    chunks = [{**frame, "choices": [choice]} for choice in choices]
    return [*chunks, {**frame, "choices": [], **_cost(usage)}] if usage else chunks


def _cost(usage: tuple[int, int] | None) -> dict[str, Any]:
    if usage is None:
        return {}
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return {"usage": counts}


def _response(text: str, usage: tuple[int, int] | None, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "id": "m", "role": "assistant", "status": status, "content": content}]
    counts = {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)} if usage else None
    frame = {"id": "r", "object": "response", "created_at": 0, "model": "m", "status": status, "error": None}
    return {**frame, "output": output, "usage": counts, "tools": [], "tool_choice": "auto"}


def _events(text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [{"type": "response.output_text.delta", "delta": word, **place} for word in _words(text)]
    events = [*deltas, {"type": "response.completed", "response": _response(text, usage)}]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


async def _serve(host: str, port: int) -> None:
    server = ModelServer()
    await server.start(host, port)
    print(f"a model listens at {server.url}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A model's server for tests and demonstrations.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    options = parser.parse_args()
    asyncio.run(_serve(options.host, options.port))
