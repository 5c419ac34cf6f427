-- A key whose time is over loses its answer and stays: a late retry is refused, never carried out anew.
ALTER TABLE payments.idempotency_key
    ADD COLUMN reaped_at timestamptz,
    DROP CONSTRAINT stored_whole,
    ADD CONSTRAINT stored_whole CHECK (
        (response_status IS NULL) = (response_body IS NULL) OR (reaped_at IS NOT NULL AND response_body IS NULL)),
    ADD CONSTRAINT reaped_when_answered CHECK (reaped_at IS NULL OR response_status IS NOT NULL);

CREATE INDEX idempotency_key_kept ON payments.idempotency_key (claimed_at)
    WHERE reaped_at IS NULL AND response_status IS NOT NULL;

-- An answered key changes once more: it is reaped, if its operation, should it have one, is final.
CREATE OR REPLACE FUNCTION payments.refuse_second_answer() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_TABLE_NAME = 'idempotency_key' THEN
        IF OLD.reaped_at IS NULL AND NEW.reaped_at IS NOT NULL AND NEW.response_status = OLD.response_status
           AND NOT EXISTS (
               SELECT FROM payments.operation WHERE id = OLD.operation_id AND settled_at IS NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'already answered or settled: % is final', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
