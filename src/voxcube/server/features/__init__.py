"""One folder per chat feature: its rules (`service.py`) and its face at each door (`xmpp.py`, `rest.py`)."""
