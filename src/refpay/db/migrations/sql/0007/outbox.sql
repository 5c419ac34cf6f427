ALTER TABLE outbox.event
    DROP CONSTRAINT event_type_check,
    ADD CONSTRAINT event_type_check CHECK (type ~ '^(payment|payout)[.][a-z_]+$');
