"""The database: a pool whose failures say whether a commit happened, and the schema's history."""
