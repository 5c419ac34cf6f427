CREATE SCHEMA outbox;

-- An event is written in the transaction that ends its operation: neither exists without the other.
CREATE TABLE outbox.event (
    id           uuid PRIMARY KEY,
    -- The order of writing, and within one payment of committing too: its row lock is held. Gaps mean nothing.
    seq          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    operation_id uuid NOT NULL UNIQUE,
    type         text NOT NULL CHECK (type ~ '^(payment|payout)[.][a-z_]+$'),
    body         text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 8192),
    at           timestamptz NOT NULL,
    published_at timestamptz,
    -- The headers of its message, which tie an event to the request that caused it. The writer limits them; the check
    -- only states the limit, and a jsonb column would refuse more than necessary.
    headers      text NOT NULL DEFAULT '{}' CHECK (octet_length(headers) <= 4096)
);

-- What is to be published is found by its state and not by a watermark, so a transaction that commits late is late and
-- not lost.
CREATE INDEX event_unpublished ON outbox.event (seq) WHERE published_at IS NULL;
CREATE INDEX event_published ON outbox.event (published_at) WHERE published_at IS NOT NULL;

CREATE FUNCTION outbox.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'outbox.event is kept until it is published, and published once: % refused', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER published_once BEFORE UPDATE ON outbox.event
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION outbox.refuse_change();
CREATE TRIGGER kept_until_published BEFORE DELETE ON outbox.event
    FOR EACH ROW WHEN (OLD.published_at IS NULL) EXECUTE FUNCTION outbox.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON outbox.event
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_change();
ALTER TABLE outbox.event ENABLE ALWAYS TRIGGER published_once;
ALTER TABLE outbox.event ENABLE ALWAYS TRIGGER kept_until_published;
ALTER TABLE outbox.event ENABLE ALWAYS TRIGGER never_truncated;
