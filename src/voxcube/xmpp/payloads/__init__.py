"""What stanzas carry: one file per extension, an element ↔ a value."""
