"""Ping: is the other end still there? The feature to copy when adding one."""
