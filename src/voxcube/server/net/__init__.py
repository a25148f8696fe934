"""Listening sockets: addresses, accepting, and how many connections each listener and each address may hold."""
