"""Storage: the only package with SQL; one store per noun, the same statements for SQLite and PostgreSQL."""
