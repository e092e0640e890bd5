"""Conversations with a model: prompts, replies, voice; the only place that knows a model API."""
