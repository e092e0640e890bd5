"""The course engine: events of a chat in, actions out; pure."""
