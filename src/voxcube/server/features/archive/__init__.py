"""The archive: messages as standard clients read them, over the chat connection."""
