"""Privacy lists: who may reach a user, and whom the user may reach."""
