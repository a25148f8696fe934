"""Accounts: sign-up, look-up and their passwords."""
