"""Ask a target every contract of its file, break and heal one harmless fault, and say what is missing."""
