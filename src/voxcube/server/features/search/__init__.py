"""Search: messages and dialogs of the caller, by any part of their text."""
