"""Data written by earlier landed versions: kept here as those versions wrote it, and upgraded by this one."""
