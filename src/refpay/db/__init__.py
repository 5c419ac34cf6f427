"""The database: a connection pool whose errors say whether a commit happened, and the schema."""
