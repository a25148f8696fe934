"""Changing messages that are stored: edits, deletions and markers, from both doors."""
