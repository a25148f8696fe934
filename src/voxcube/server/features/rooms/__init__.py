"""Rooms: a session joins a group's room to see who else has; chatting does not need it."""
