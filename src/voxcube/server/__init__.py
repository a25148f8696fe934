"""The chat server; needs the extra `voxcube[server]`."""
