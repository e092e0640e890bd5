"""What can go wrong with a model or a voice; no text holds a key."""

from __future__ import annotations

from app.errors import FlotillaError


class ModelUnavailable(FlotillaError):
    """The model's server did not answer, or not with a reply: worth another try later."""


class ModelRefused(FlotillaError):
    """The model's server refuses the request (key, model, quota, parameter): the operator or author must act."""


class VoiceUnavailable(FlotillaError):
    """A voice could not be understood, or a text not be spoken; the learner is served with text."""
