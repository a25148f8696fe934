"""Stanzas from one session to another: iq and errors to full JIDs (RFC 6121 §8.5.3.1)."""
