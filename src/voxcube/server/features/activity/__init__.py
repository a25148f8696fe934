"""Last activity: how long ago somebody was here, and being told when that changes."""
