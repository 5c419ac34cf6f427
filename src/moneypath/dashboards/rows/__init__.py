"""The rows of the board, from what an engineer looks at first to what is looked at last."""
