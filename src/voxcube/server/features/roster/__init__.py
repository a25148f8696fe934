"""The contact list. Nobody has contacts yet, so it is empty; Flutter asks for it before it is ready."""
