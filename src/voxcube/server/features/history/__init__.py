"""Reading what was stored: message pages and unread counts."""
