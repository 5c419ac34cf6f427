-- What ties an event to the request that caused it: the headers of its message. Empty for the rows written before.
-- The text is bounded by who writes it; the check only says so, and a jsonb column would refuse more than it has to.
ALTER TABLE outbox.event ADD COLUMN headers text NOT NULL DEFAULT '{}' CHECK (octet_length(headers) <= 4096);
