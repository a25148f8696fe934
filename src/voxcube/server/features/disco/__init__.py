"""Service discovery: what this server can do."""
