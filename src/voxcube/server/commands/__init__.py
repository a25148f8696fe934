"""The commands of `voxcube`, a module per group. A command imports what is heavy when it runs, not for `--help`."""
