"""Voices: what learners say, and replies that are spoken, by ElevenLabs or any server with OpenAI's audio endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar, assert_never
from urllib.parse import quote

from app.config.settings import VoiceProvider, VoiceSettings
from app.course.dialog import VOICES
from app.course.element import Speech
from app.dialog.endpoint import Endpoint, connect, library_errors, place_of, trouble
from app.dialog.errors import ModelRefused, VoiceUnavailable

if TYPE_CHECKING:
    from openai import AsyncOpenAI, HttpxBinaryResponseContent

T = TypeVar("T")

AUDIO_LIMIT = 20_000_000
"""Bytes of a voice message; Telegram hands bots no larger files."""

TIMEOUT, RETRIES = 60.0, 2
"""Seconds of one attempt, and further attempts; the pauses between them count as part of the attempts."""

_BASE_URLS = {
    VoiceProvider.ELEVENLABS: "https://api.elevenlabs.io",
    VoiceProvider.OPENAI: "https://api.openai.com/v1",
}
_TRANSCRIPTION_MODELS = {VoiceProvider.ELEVENLABS: "scribe_v2", VoiceProvider.OPENAI: "gpt-4o-mini-transcribe"}
_SPEECH_MODELS = {VoiceProvider.ELEVENLABS: "eleven_multilingual_v2", VoiceProvider.OPENAI: "gpt-4o-mini-tts"}
_VOICES = {VoiceProvider.ELEVENLABS: "21m00Tcm4TlvDq8ikWAM", VoiceProvider.OPENAI: "alloy"}
_SPEEDS = {VoiceProvider.ELEVENLABS: (0.7, 1.2), VoiceProvider.OPENAI: (0.25, 4.0)}

_TEXT_LIMITS = (
    ("eleven_v3*", 5_000),
    ("eleven_flash_v2_5", 40_000),
    ("eleven_turbo_v2_5", 40_000),
    ("eleven_*", 10_000),
    ("*", 4_096),
)
"""Characters that a model speaks at once, by its name; the last is OpenAI's."""


async def transcribe(settings: VoiceSettings, audio: bytes, name: str, language: str | None = None) -> str:
    """Return what was said, empty if nothing; ``name`` tells the format (``voice.ogg``), ``language`` is ISO 639-1.

    Raises ``VoiceUnavailable``.
    """
    if len(audio) > AUDIO_LIMIT:
        size, limit = len(audio) / 1e6, AUDIO_LIMIT / 1e6
        raise VoiceUnavailable(f"voice message of {size:.1f} MB is over the limit of {limit:.0f} MB; say it in parts")
    model = settings.transcription_model or _TRANSCRIPTION_MODELS[settings.provider]
    return await _asked(settings, lambda client: _transcribe(settings.provider, client, model, (name, audio), language))


async def speak(settings: VoiceSettings, text: str, speech: Speech) -> bytes:
    """Return an MP3 file that says the text, which holds no markup; raise ``VoiceUnavailable``."""
    model = _speech_model(settings, speech)
    limit = next(limit for pattern, limit in _TEXT_LIMITS if fnmatchcase(model, pattern))
    if len(text) > limit:
        raise VoiceUnavailable(
            f"text of {len(text)} characters is over the limit of {limit} of {model!r}; send it as text"
        )
    return await _asked(settings, lambda client: _speak(settings, client, model, text, speech))


async def _asked(settings: VoiceSettings, ask: Callable[[AsyncOpenAI], Awaitable[T]]) -> T:
    """Return what a client's call brings. Each call has a client of its own, as voices are rare and slow."""
    url = _base_url(settings)
    try:
        async with (
            asyncio.timeout(TIMEOUT * (RETRIES + 1)),
            await connect(Endpoint(url, settings.api_key, TIMEOUT, RETRIES)) as client,
        ):
            return await ask(client)
    except TimeoutError:
        failure = f"{place_of(url)} did not answer in time"
    except ModelRefused as error:
        failure = str(error)
    except library_errors() as error:
        failure = str(trouble(error, url, (settings.api_key,)))
    # Outside of the handler: the library's error holds the request, and with it the key.
    raise VoiceUnavailable(failure)


async def _transcribe(
    provider: VoiceProvider, client: AsyncOpenAI, model: str, file: tuple[str, bytes], language: str | None
) -> str:
    match provider:
        case VoiceProvider.OPENAI:
            wanted: Any = {"language": language} if language else {}
            return str((await client.audio.transcriptions.create(model=model, file=file, **wanted)).text).strip()
        case VoiceProvider.ELEVENLABS:
            # Without the audio events it would write "(laughs)" into the learner's answer.
            body = {"model_id": model, "tag_audio_events": "false"} | ({"language_code": language} if language else {})
            form = _elevenlabs(client.api_key, **{"Content-Type": "multipart/form-data"})
            path = "/v1/speech-to-text"
            answer: Any = await client.post(path, cast_to=object, body=body, files=[("file", file)], options=form)
            return str(answer["text"]).strip()
    assert_never(provider)


async def _speak(settings: VoiceSettings, client: AsyncOpenAI, model: str, text: str, speech: Speech) -> bytes:
    from openai import HttpxBinaryResponseContent

    voice, speed = _voice(settings, speech), _speed(settings.provider, speech)
    match settings.provider:
        case VoiceProvider.OPENAI:
            wanted: Any = {} if speed == 1 else {"speed": speed}
            return _audio(await client.audio.speech.create(model=model, voice=voice, input=text, **wanted))
        case VoiceProvider.ELEVENLABS:
            manner: dict[str, Any] = {"stability": 0.5, "similarity_boost": 0.75, "style": 0.0}
            manner |= {"use_speaker_boost": True} | ({} if speed == 1 else {"speed": speed})
            answer = await client.post(
                f"/v1/text-to-speech/{quote(voice, safe='')}",
                cast_to=HttpxBinaryResponseContent,
                body={"text": text, "model_id": model, "voice_settings": manner},
                options=_elevenlabs(client.api_key, Accept="audio/mpeg"),
            )
            return _audio(answer)
    assert_never(settings.provider)


def _audio(answer: HttpxBinaryResponseContent) -> bytes:
    kind = answer.response.headers.get("Content-Type", "")
    if not answer.content or kind.startswith(("text/", "application/json")):
        raise ValueError("no audio")
    return answer.content


def _elevenlabs(api_key: str, **headers: str) -> Any:
    """Return the options of a call to ElevenLabs.

    Their two calls go through the HTTP side of the ``openai`` library, which has the retries, pauses, proxies and
    errors: their own package brings a large tree of generated models for the same two calls.
    """
    from openai import Omit

    return {"headers": {"xi-api-key": api_key, "Authorization": Omit(), **headers}}


def _base_url(settings: VoiceSettings) -> str:
    url = settings.base_url or _BASE_URLS[settings.provider]
    return url.rstrip("/").removesuffix("/v1") if settings.provider is VoiceProvider.ELEVENLABS else url


def _voice(settings: VoiceSettings, speech: Speech) -> str:
    """Return the voice under the provider's name for it: a course may have been written for the other provider."""
    voice = speech.voice or settings.voice or _VOICES[settings.provider]
    if settings.provider is VoiceProvider.ELEVENLABS:
        return VOICES.get(voice, voice)
    return next((name for name, known in VOICES.items() if known == voice), voice)


def _speech_model(settings: VoiceSettings, speech: Speech) -> str:
    """Return the element's model if the provider has it, else the bot's."""
    wanted, is_elevenlabs = speech.model, settings.provider is VoiceProvider.ELEVENLABS
    if wanted and wanted.startswith("eleven_") == is_elevenlabs:
        return wanted
    return settings.speech_model or _SPEECH_MODELS[settings.provider]


def _speed(provider: VoiceProvider, speech: Speech) -> float:
    slowest, fastest = _SPEEDS[provider]
    return min(max(speech.speed, slowest), fastest)
