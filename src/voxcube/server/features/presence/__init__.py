"""Presence: which sessions are available, told to the user's other sessions and kept in a table for all nodes."""
