CREATE SCHEMA audit;

-- An audit record is written in the transaction of its change: neither exists without the other.
CREATE TABLE audit.event (
    id             uuid PRIMARY KEY,
    -- The order of writing, because records of one transaction share their instant. A rollback leaves a gap.
    seq            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    at             timestamptz NOT NULL,
    actor          text NOT NULL,
    action         text NOT NULL,
    subject_kind   text NOT NULL
        CHECK (subject_kind IN ('payment', 'payout', 'operation', 'provider', 'queue', 'card_range')),
    subject_id     text NOT NULL,
    before         jsonb,
    after          jsonb NOT NULL,
    correlation_id text NOT NULL
);

CREATE INDEX event_of_subject ON audit.event (subject_kind, subject_id, seq);

CREATE FUNCTION audit.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'audit.event is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.event
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.event ENABLE ALWAYS TRIGGER append_only;
