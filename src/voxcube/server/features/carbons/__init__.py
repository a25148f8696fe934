"""Carbons: what one session of a user sends, its other sessions see."""
