"""The declaration of the money path: its stages, owners, objectives, checks and costs."""
