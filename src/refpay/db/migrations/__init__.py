"""Alembic's script folder; each revision is one SQL script."""
