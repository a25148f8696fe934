"""Contacts: whom a user keeps in a list, who is shown whose presence, and the consent to it (RFC 6121 §2–§4)."""
