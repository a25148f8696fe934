"""A load generator for any XMPP server, and the benchmark of our own (`voxcube bench`, `make bench`)."""
