"""Voices against a real server."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from app.config.settings import VoiceProvider, VoiceSettings
from app.course.element import Speech
from app.dialog import voice
from app.dialog.errors import VoiceUnavailable
from app.dialog.voice import speak, transcribe
from tests.model_server import SPEECH, Fault, ModelServer

KEY = "xi-very-secret"
OGG = b"OggS, as it were"


def elevenlabs(server: ModelServer, **more: Any) -> VoiceSettings:
    return VoiceSettings(VoiceProvider.ELEVENLABS, server.root, KEY, **more)


def openai(server: ModelServer, **more: Any) -> VoiceSettings:
    return VoiceSettings(VoiceProvider.OPENAI, server.url, KEY, **more)


providers = pytest.mark.parametrize("settings_for", [elevenlabs, openai])


async def test_elevenlabs_transcription(server: ModelServer) -> None:
    server.say(" Good morning \n")
    assert await transcribe(elevenlabs(server), OGG, "voice.ogg", "en") == "Good morning"
    (asked,) = server.asked
    assert asked.path == "/v1/speech-to-text"
    assert asked.body == {
        "model_id": "scribe_v2",
        "tag_audio_events": "false",
        "language_code": "en",
        "file": ("voice.ogg", len(OGG), "audio/ogg"),
    }
    assert asked.headers["xi-api-key"] == KEY
    assert "Authorization" not in asked.headers


async def test_openai_transcription(server: ModelServer) -> None:
    assert await transcribe(openai(server), OGG, "voice.ogg", "ru") == "what was said"
    (asked,) = server.asked
    assert asked.path == "/v1/audio/transcriptions"
    assert asked.body == {
        "model": "gpt-4o-mini-transcribe",
        "language": "ru",
        "file": ("voice.ogg", len(OGG), "audio/ogg"),
    }
    assert asked.headers["Authorization"] == f"Bearer {KEY}"


@providers
async def test_transcription_model_of_the_bot_and_no_language(server: ModelServer, settings_for: Any) -> None:
    await transcribe(settings_for(server, transcription_model="mine"), OGG, "voice.ogg")
    body = dict(server.asked[0].body)
    assert body.pop("model_id", None) or body.pop("model") == "mine"
    assert body.keys() <= {"file", "tag_audio_events"}


async def test_elevenlabs_speech(server: ModelServer) -> None:
    assert await speak(elevenlabs(server), "Καλημέρα", Speech(voice="echo", model="tts-1", speed=1.1)) == SPEECH
    (asked,) = server.asked
    assert asked.path == "/v1/text-to-speech/EXAVITQu4vr4xnSDxMaL"
    assert asked.body == {
        "text": "Καλημέρα",
        "model_id": "eleven_multilingual_v2",
        "voice_settings": {
            "stability": 0.5,
            "similarity_boost": 0.75,
            "style": 0.0,
            "use_speaker_boost": True,
            "speed": 1.1,
        },
    }
    assert asked.headers["xi-api-key"] == KEY


async def test_elevenlabs_speech_by_default(server: ModelServer) -> None:
    await speak(elevenlabs(server), "Hello", Speech())
    (asked,) = server.asked
    assert asked.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM"
    assert "speed" not in asked.body["voice_settings"]


async def test_openai_speech(server: ModelServer) -> None:
    speech = Speech(voice="EXAVITQu4vr4xnSDxMaL", model="eleven_multilingual_v2", speed=9.0)
    assert await speak(openai(server), "Hello", speech) == SPEECH
    (asked,) = server.asked
    assert asked.path == "/v1/audio/speech"
    assert asked.body == {"model": "gpt-4o-mini-tts", "voice": "echo", "input": "Hello", "speed": 4.0}


async def test_voice_and_model_of_the_bot(server: ModelServer) -> None:
    await speak(openai(server, voice="cedar", speech_model="tts-9"), "Hello", Speech())
    assert server.asked[0].body == {"model": "tts-9", "voice": "cedar", "input": "Hello"}


@providers
async def test_passing_trouble_is_tried_again(server: ModelServer, settings_for: Any) -> None:
    server.fail(Fault(429, retry_after=0.01), Fault(500))
    assert await speak(settings_for(server), "Hello", Speech()) == SPEECH
    server.fail(Fault(503), Fault(cut=0))
    assert await transcribe(settings_for(server), OGG, "voice.ogg") == "what was said"


@providers
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            Fault(401, says=f"wrong key {KEY}"),
            "{place} refuses the key (HTTP 401); set the right one in the key's variable",
        ),
        (
            Fault(422, says=f"voice not found for {KEY}"),
            "{place} answered HTTP 422: 'voice not found for ***'; correct the model's name, base_url or settings",
        ),
    ],
)
async def test_refusals_do_not_tell_the_key(server: ModelServer, settings_for: Any, fault: Fault, text: str) -> None:
    settings = settings_for(server)
    for is_spoken in (True, False):
        server.fail(fault)
        with pytest.raises(VoiceUnavailable) as failure:
            await (speak(settings, "Hello", Speech()) if is_spoken else transcribe(settings, OGG, "voice.ogg"))
        assert str(failure.value) == text.format(place=settings.base_url)
        assert KEY not in "".join(traceback.format_exception(failure.value))


@providers
async def test_garbage(server: ModelServer, settings_for: Any) -> None:
    server.fail(Fault(garbage="[1]"), Fault(garbage="<p>", content_type="text/html"), Fault(garbage="{"))
    for _ in range(3):
        with pytest.raises(VoiceUnavailable, match="answered with something that is not a reply"):
            await transcribe(settings_for(server), OGG, "voice.ogg")


@providers
async def test_speech_that_is_none(server: ModelServer, settings_for: Any) -> None:
    kinds = [("{}", "application/json"), ("<p>", "text/html"), ("", "audio/mpeg")]
    server.fail(*(Fault(garbage=garbage, content_type=kind) for garbage, kind in kinds))
    for _ in kinds:
        with pytest.raises(VoiceUnavailable, match="answered with something that is not a reply"):
            await speak(settings_for(server), "Hello", Speech())


@providers
async def test_a_silent_server_is_left(server: ModelServer, settings_for: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "TIMEOUT", 0.2)
    server.fail(*[Fault(hold=0)] * 3)
    with pytest.raises(VoiceUnavailable) as failure:
        await speak(settings_for(server), "Hello", Speech())
    assert str(failure.value) == f"{settings_for(server).base_url} did not answer in time"


async def test_a_strange_voice_stays_a_part_of_the_path(server: ModelServer) -> None:
    await speak(elevenlabs(server), "Hello", Speech(voice="my voice?"))
    assert server.asked[0].path == "/v1/text-to-speech/my voice?"


@providers
async def test_audio_over_the_limit_is_not_sent(server: ModelServer, settings_for: Any) -> None:
    with pytest.raises(VoiceUnavailable) as failure:
        await transcribe(settings_for(server), bytes(20_100_000), "voice.ogg")
    assert str(failure.value) == "voice message of 20.1 MB is over the limit of 20 MB; say it in parts"
    assert server.asked == []


@pytest.mark.parametrize(
    ("settings_for", "model", "limit"),
    [(elevenlabs, None, 10_000), (elevenlabs, "eleven_v3", 5_000), (openai, None, 4_096)],
)
async def test_text_over_the_limit_is_not_sent(
    server: ModelServer, settings_for: Any, model: str | None, limit: int
) -> None:
    await speak(settings_for(server), "a" * limit, Speech(model=model))
    with pytest.raises(VoiceUnavailable, match=f"text of {limit + 1} characters is over the limit of {limit} of"):
        await speak(settings_for(server), "a" * (limit + 1), Speech(model=model))
    assert len(server.asked) == 1


@providers
async def test_a_proxy_that_cannot_be_used(
    server: ModelServer, settings_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://me:secret@proxy")
    with pytest.raises(VoiceUnavailable, match=r"cannot be used \(ValueError\); correct base_url, or the proxy"):
        await transcribe(settings_for(server), OGG, "voice.ogg")


async def test_elevenlabs_base_url_may_name_the_version(server: ModelServer) -> None:
    assert await speak(VoiceSettings(base_url=f"{server.url}/", api_key=KEY), "Hello", Speech()) == SPEECH
