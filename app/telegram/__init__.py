"""The Bot API; the only place that knows aiogram."""
