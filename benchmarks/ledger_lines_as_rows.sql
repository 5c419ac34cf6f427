-- The ledger before lines became arrays of their entry: what benchmarks/ledger_book.py compares today's schema with.
CREATE SCHEMA ledger;

CREATE TABLE ledger.entry (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('hold', 'posting', 'reversal', 'fee')),
    -- Exactly one entry for each operation.
    operation_id uuid NOT NULL UNIQUE,
    payment_id   uuid NOT NULL,
    posted_at    timestamptz NOT NULL,
    -- The transaction that wrote the entry; set by the database, its lines must come from the same.
    written_in   xid8 NOT NULL
);

-- Debit positive. An account appears once an entry, so it cannot cancel itself out.
CREATE TABLE ledger.line (
    entry_id     uuid NOT NULL REFERENCES ledger.entry,
    account      text NOT NULL CHECK (account ~ '^[a-z_]+:[!-~]+$'),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (entry_id, account, currency)
);

CREATE FUNCTION ledger.stamp_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.written_in := pg_catalog.pg_current_xact_id();
    RETURN NEW;
END
$$;

CREATE TRIGGER entry_stamped BEFORE INSERT ON ledger.entry
    FOR EACH ROW EXECUTE FUNCTION ledger.stamp_entry();

-- Every statement that writes lines writes balanced lines, of entries of its own transaction.
CREATE FUNCTION ledger.refuse_unbalanced_lines() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    culprit record;
BEGIN
    SELECT written.entry_id, written.currency, sum(written.amount_minor) AS total INTO culprit
        FROM written GROUP BY written.entry_id, written.currency
        HAVING sum(written.amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % is unbalanced: % %', culprit.entry_id, culprit.total, culprit.currency
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT entry.id INTO culprit
        FROM written JOIN ledger.entry ON entry.id = written.entry_id
        WHERE entry.written_in <> pg_catalog.pg_current_xact_id() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % is closed: it was posted by another transaction', culprit.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER lines_balanced AFTER INSERT ON ledger.line
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_unbalanced_lines();

-- At commit, no entry is empty or one-legged, whatever statements wrote it.
CREATE FUNCTION ledger.refuse_incomplete_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    legs  bigint;
    wrong bigint;
BEGIN
    SELECT count(*) INTO legs FROM ledger.line WHERE entry_id = NEW.id;
    IF legs < 2 THEN
        RAISE EXCEPTION 'ledger entry % has % lines, needed: at least 2', NEW.id, legs
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT count(*) INTO wrong FROM (
        SELECT 1 FROM ledger.line WHERE entry_id = NEW.id GROUP BY currency HAVING sum(amount_minor) <> 0) AS unbalanced;
    IF wrong > 0 THEN
        RAISE EXCEPTION 'ledger entry % is unbalanced in % currencies', NEW.id, wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER entry_complete AFTER INSERT ON ledger.entry
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_incomplete_entry();

CREATE FUNCTION ledger.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Correct an entry with a reversal.';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.line
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- Replication roles skip ordinary triggers; these hold for everyone.
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_stamped;
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_complete;
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER lines_balanced;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER append_only;
