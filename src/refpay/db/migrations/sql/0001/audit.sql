CREATE SCHEMA audit;

-- Written in the transaction of the change itself: no change without its record, no record without its change.
CREATE TABLE audit.event (
    id             uuid PRIMARY KEY,
    -- The order of writing: records of one transaction share their instant. Gaps mean nothing, a rollback leaves one.
    seq            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    at             timestamptz NOT NULL,
    actor          text NOT NULL,
    action         text NOT NULL,
    subject_kind   text NOT NULL CHECK (subject_kind IN ('payment', 'operation', 'provider')),
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
