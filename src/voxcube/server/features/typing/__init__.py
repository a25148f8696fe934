"""Typing: relayed, never stored."""
