"""Sessions of the REST door, and whether a password or token is right."""
