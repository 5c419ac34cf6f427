"""Who is calling and what they may do: one `authenticate`, whatever stands behind it."""
