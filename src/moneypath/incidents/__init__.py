"""The record of an incident: event log, timeline, pages."""
