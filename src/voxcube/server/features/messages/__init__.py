"""Messages: sending in private dialogs and groups, and delivering late what could not be delivered at once."""
