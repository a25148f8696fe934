"""Dialogs: making, finding and listing conversations."""
