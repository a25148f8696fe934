"""Delivery: who is connected to this node, and to whom a stanza goes."""
