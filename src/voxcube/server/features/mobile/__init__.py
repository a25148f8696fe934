"""Active and inactive: whether somebody looks at a session."""
