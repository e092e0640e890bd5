"""The ``dialog`` section: who answers in dialogs, and how a bot's own section changes the fleet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import AliasChoices, Field

from app.config.options import DEFAULT_OPTIONS
from app.config.rules import (
    ApiName,
    ApiUrl,
    Count,
    Effort,
    KeyVariable,
    Line,
    Marker,
    ProviderName,
    Retries,
    Seconds,
    Temperature,
    Text,
)
from app.config.section import Section
from app.config.settings import (
    REASONING_MODELS,
    Api,
    DialogSettings,
    ModelTraits,
    VoiceProvider,
    VoiceSettings,
)
from app.config.template import resolve

OPENAI_KEY = "OPENAI_API_KEY"
"""Holds the key where the model's server is OpenAI's and no other variable is named."""

ELEVENLABS_KEY = "ELEVENLABS_API_KEY"
"""Holds the key where voice is ElevenLabs' and no other variable is named."""

_Part = TypeVar("_Part", bound=Section)


class Voice(Section):
    """Who understands voice messages and speaks."""

    provider: ProviderName = Field(VoiceProvider.ELEVENLABS, description="Whose interface the server has")
    api_key_env: KeyVariable | None = Field(None, description="Variable that holds the key")
    base_url: ApiUrl | None = Field(None, description="Address of the API; default: the provider's")
    transcription_model: Text | None = Field(None, description="Model that turns voice into text")
    speech_model: Text | None = Field(None, description="Model that turns text into voice")
    voice: Text | None = Field(None, description="Voice that speaks")

    @property
    def key_variable(self) -> str | None:
        """Name of the variable with the key; a server of one's own gets no key that is not meant for it."""
        return self.api_key_env or (None if self.base_url else _PROVIDER_KEYS[self.provider])

    def settings(self, environ: Mapping[str, str]) -> VoiceSettings:
        """Make what the voice client is told."""
        texts = {name: getattr(self, name) for name in ("base_url", "transcription_model", "speech_model", "voice")}
        given = {name: resolve(text, environ) for name, text in texts.items() if text is not None}
        return VoiceSettings(provider=self.provider, api_key=environ.get(self.key_variable or "", ""), **given)


class Model(Section):
    """What the models understand whose names match a pattern."""

    pattern: Line = Field(description="Name with wildcards: o[0-9]*")
    temperature: bool = Field(True, description="Whether they take a temperature")
    reasoning: bool = Field(False, description="Whether they take a reasoning effort")


class Dialog(Section):
    """The OpenAI-compatible server that answers in ``dialog`` elements, and the limits of dialogs."""

    base_url: ApiUrl | None = Field(None, description="Address of the API; default: https://api.openai.com/v1")
    api_key_env: KeyVariable | None = Field(
        None, description="Variable that holds the key; default: OPENAI_API_KEY, none if there is a base_url"
    )
    model: Text | None = Field(None, description="Model of dialogs that name none; default: gpt-4.1")
    api: ApiName = Field(Api.CHAT_COMPLETIONS, description="Which of OpenAI's interfaces the server has")
    temperature: Temperature | None = Field(None, description="From 0 (the same every time) to 2")
    reasoning_effort: Effort | None = Field(
        None,
        validation_alias=AliasChoices("reasoning_effort", "reasoning"),
        description="How much reasoning models think: low, medium, high, ...",
    )
    max_tokens: Count | None = Field(None, description="Longest reply, in tokens")
    timeout: Seconds = Field(60.0, description="Seconds that one attempt may take")
    retries: Retries = Field(3, description="Further attempts after the first one failed")
    stream: bool = Field(False, description="Show the reply while it is written")
    daily_tokens: Count | None = Field(None, description="Tokens that the bot may use in a day (UTC)")
    max_messages: Count = Field(DEFAULT_OPTIONS.max_messages, description="Messages after which a dialog ends")
    exit_after: Count = Field(DEFAULT_OPTIONS.exit_after, description="Messages after which a button ends a dialog")
    stop_markers: tuple[Marker, ...] = Field(
        DEFAULT_OPTIONS.stop_markers, description="Texts in a reply of the model that end the dialog"
    )
    models: tuple[Model, ...] = Field((), description="What models understand that Flotilla does not know")
    voice: Voice | None = None

    @property
    def key_variable(self) -> str | None:
        """Name of the variable with the key; a server of one's own gets no key that is not meant for it."""
        return self.api_key_env or (None if self.base_url else OPENAI_KEY)

    @property
    def key_variables(self) -> dict[str, str]:
        """All variables with keys, and what each is the key of."""
        voice = self.voice.key_variable if self.voice else None
        named = {voice: "voice messages", self.key_variable: "the dialog model"}
        return {name: purpose for name, purpose in named.items() if name}

    def merged(self, own: Dialog | None) -> Dialog:
        """Return the section that results if a bot's ``own`` section changes this one, key by key."""
        if own is None:
            return self
        voice = _merged(self.voice, own.voice) if self.voice and own.voice else own.voice or self.voice
        return _merged(self, own).model_copy(update={"voice": voice})

    def options(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return those of the bot's ``Options`` that this section says."""
        markers = tuple(resolve(marker, environ) for marker in self.stop_markers)
        return {"stop_markers": markers, "exit_after": self.exit_after, "max_messages": self.max_messages}

    def settings(self, environ: Mapping[str, str]) -> DialogSettings:
        """Make what the model's client is told."""
        texts = {name: getattr(self, name) for name in ("base_url", "model")}
        given = {name: resolve(text, environ) for name, text in texts.items() if text is not None}
        return DialogSettings(
            api_key=environ.get(self.key_variable or "", ""),
            api=self.api,
            temperature=self.temperature,
            reasoning=self.reasoning_effort,
            max_tokens=self.max_tokens,
            timeout=self.timeout,
            retries=self.retries,
            is_streaming=self.stream,
            daily_tokens=self.daily_tokens,
            traits=(*(ModelTraits(*dict(model).values()) for model in self.models), *REASONING_MODELS),
            voice=self.voice.settings(environ) if self.voice else None,
            **given,
        )


def dialog_of(fleet: Dialog | None, own: Dialog | None) -> Dialog | None:
    """Return the section of one bot: the fleet's, changed by its own; None without both."""
    return fleet.merged(own) if fleet else own


def dialog_settings(section: Dialog | None, environ: Mapping[str, str]) -> DialogSettings | None:
    """Make what a bot's dialogs are told; without a section the old program's variables are enough, or nothing is."""
    if section is not None:
        return section.settings(environ)
    if not environ.get(OPENAI_KEY):
        return None
    return Dialog(voice=Voice() if environ.get(ELEVENLABS_KEY) else None).settings(environ)


def _merged(base: _Part, own: _Part) -> _Part:
    """Lay the keys that are written in ``own`` over those of ``base``."""
    return base.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


_PROVIDER_KEYS = {VoiceProvider.ELEVENLABS: ELEVENLABS_KEY, VoiceProvider.OPENAI: OPENAI_KEY}
