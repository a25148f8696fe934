"""Receipts: delivered and read, persisted per member and relayed to the sender."""
