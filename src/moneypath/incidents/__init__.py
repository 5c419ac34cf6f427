"""What happened, in order and beyond dispute: event log, timeline, pages."""
