"""System messages: headlines that users' programs send each other; relayed, never stored."""
