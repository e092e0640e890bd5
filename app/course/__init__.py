"""Courses: the course files of the format, read into frozen values; pure."""
