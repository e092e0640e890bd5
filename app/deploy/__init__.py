"""Deployment files: pure functions from a fleet to text."""
