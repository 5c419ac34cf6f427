CREATE SCHEMA reconciliation;

-- How far reconciliation with each provider is. A comparison locks the provider's row first, so there is one at a time.
CREATE TABLE reconciliation.progress (
    provider     text PRIMARY KEY CHECK (provider IN ('north', 'south')),
    -- The last report of the contiguous run of accepted ones.
    run_sequence bigint,
    -- What was resolved before this must be in a report by now: the run is one report further.
    horizon      timestamptz,
    -- The end of the last report of the run up to which every line is compared.
    watermark    timestamptz,
    -- Until when the report after the run has to be there.
    next_due     timestamptz
);

INSERT INTO reconciliation.progress (provider) VALUES ('north'), ('south');

CREATE TABLE reconciliation.report (
    provider       text NOT NULL REFERENCES reconciliation.progress,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    period_start   timestamptz NOT NULL,
    period_end     timestamptz NOT NULL,
    due            timestamptz NOT NULL,
    -- What became of it when it was last fetched; lines of an earlier, accepted revision stay in force.
    state          text NOT NULL CHECK (state IN ('accepted', 'late', 'invalid', 'replayed')),
    -- The revision whose lines are in force; 0 if none was ever accepted.
    revision       integer NOT NULL,
    -- What the revision in force was announced as; absent if it has to be fetched whatever is announced.
    digest         text CHECK (length(digest) = 64),
    refused_digest text CHECK (length(refused_digest) = 64),
    problem        text,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (provider, sequence),
    CONSTRAINT period_has_time CHECK (period_end > period_start)
);

CREATE INDEX report_wanted ON reconciliation.report (provider, sequence) WHERE digest IS NULL;
CREATE INDEX report_refused ON reconciliation.report (provider, sequence) WHERE state IN ('invalid', 'replayed');

CREATE TABLE reconciliation.revision (
    provider     text NOT NULL,
    sequence     bigint NOT NULL,
    revision     integer NOT NULL CHECK (revision > 0),
    digest       text NOT NULL CHECK (length(digest) = 64),
    -- Of the lines alone, to know them again under another number; absent if there are none.
    lines_digest text CHECK (length(lines_digest) = 64),
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (provider, sequence, revision),
    FOREIGN KEY (provider, sequence) REFERENCES reconciliation.report
);

CREATE INDEX revision_of_lines ON reconciliation.revision (provider, lines_digest);

CREATE TABLE reconciliation.line (
    provider     text NOT NULL,
    sequence     bigint NOT NULL,
    revision     integer NOT NULL,
    position     integer NOT NULL,
    -- Ours as they report it, so any text.
    key          text NOT NULL,
    -- Theirs: what identifies the movement in their book.
    movement     text NOT NULL,
    reference    text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('capture', 'refund', 'chargeback', 'chargeback_reversal')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    fee_minor    bigint NOT NULL CHECK (fee_minor >= 0),
    booked_at    timestamptz NOT NULL,
    -- What the movement is settled in; absent if in its own currency.
    settled_currency text CHECK (settled_currency ~ '^[A-Z]{3}$'),
    settled_minor    bigint CHECK (settled_minor > 0),
    PRIMARY KEY (provider, sequence, revision, position),
    FOREIGN KEY (provider, sequence, revision) REFERENCES reconciliation.revision,
    CONSTRAINT settled_whole CHECK ((settled_currency IS NULL) = (settled_minor IS NULL)),
    CONSTRAINT settled_plausible CHECK (settled_currency <> currency OR settled_minor = amount_minor)
);

CREATE INDEX line_of_key ON reconciliation.line (provider, key);

-- A reported movement whose operation has no outcome on our side yet: compared when it has one.
CREATE TABLE reconciliation.awaited (
    id       uuid PRIMARY KEY,
    provider text NOT NULL,
    sequence bigint NOT NULL,
    key      text NOT NULL,
    since    timestamptz NOT NULL,
    ended_at timestamptz
);

CREATE UNIQUE INDEX awaited_open ON reconciliation.awaited (provider, sequence, key) WHERE ended_at IS NULL;

CREATE TABLE reconciliation.break (
    id           uuid PRIMARY KEY,
    provider     text NOT NULL REFERENCES reconciliation.progress,
    class        text NOT NULL CHECK (class IN (
        'missing_ours', 'missing_theirs', 'amount', 'currency', 'fee', 'duplicate', 'status')),
    key          text NOT NULL,
    -- The movement that is wrong or one too many; empty if it is the one that is missing.
    movement     text NOT NULL,
    -- Tells apart what is reported more than once under one movement.
    occurrence   integer NOT NULL,
    -- The report that shows it, or that ought to have shown it.
    sequence     bigint,
    operation_id uuid,
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    value_minor  bigint NOT NULL CHECK (value_minor > 0),
    first_seen   timestamptz NOT NULL,
    closed_at    timestamptz
);

CREATE UNIQUE INDEX break_open ON reconciliation.break (provider, key, class, movement, occurrence)
    WHERE closed_at IS NULL;
CREATE INDEX break_open_newest ON reconciliation.break (first_seen) WHERE closed_at IS NULL;

-- Which refund takes back a movement that was one too many. The break closes when the provider reports a
-- refund under `repair_key` of just this money.
CREATE TABLE reconciliation.repair (
    provider     text NOT NULL REFERENCES reconciliation.progress,
    movement     text NOT NULL,
    -- Of the charge that was booked more than once.
    key          text NOT NULL,
    repair_key   text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    recorded_at  timestamptz NOT NULL,
    PRIMARY KEY (provider, movement),
    UNIQUE (provider, repair_key)
);

CREATE INDEX repair_of_key ON reconciliation.repair (provider, key);

CREATE FUNCTION reconciliation.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reconciliation.revision
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reconciliation.line
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reconciliation.repair
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation.refuse_change();
CREATE TRIGGER closed_once BEFORE UPDATE ON reconciliation.break
    FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION reconciliation.refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON reconciliation.break
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation.refuse_change();
ALTER TABLE reconciliation.revision ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE reconciliation.line ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE reconciliation.repair ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE reconciliation.break ENABLE ALWAYS TRIGGER closed_once;
ALTER TABLE reconciliation.break ENABLE ALWAYS TRIGGER kept;
