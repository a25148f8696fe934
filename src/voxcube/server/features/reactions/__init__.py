"""Reactions to messages: kept, counted, and told to everybody in the dialog."""
