"""The XMPP door: sockets, sessions, and the table that finds the handler of a stanza."""
