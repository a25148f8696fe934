"""Blocking: the standard view of the default privacy list."""
