"""The ``flotilla`` command: one module for each of its commands."""
