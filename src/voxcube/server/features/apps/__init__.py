"""Applications: worlds of users and dialogs that see nothing of each other."""
