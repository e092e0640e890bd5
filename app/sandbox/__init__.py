"""A local Bot API server with learners and a chat page."""
