"""The worker: settles what was left open, checks the books, exports what the database knows."""
