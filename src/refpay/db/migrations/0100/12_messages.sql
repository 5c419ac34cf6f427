CREATE SCHEMA messages;

-- Notifications for merchants, one for each event. Delivery to the merchant begins here.
CREATE TABLE messages.notification (
    event_id     uuid PRIMARY KEY,
    operation_id uuid NOT NULL,
    payment_id   uuid NOT NULL,
    merchant     text NOT NULL CHECK (length(merchant) BETWEEN 1 AND 64),
    type         text NOT NULL,
    provider     text NOT NULL CHECK (provider IN ('north', 'south')),
    currency     text NOT NULL CHECK (currency IN ('EUR', 'USD', 'JPY', 'KWD')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    at           timestamptz NOT NULL,
    written_at   timestamptz NOT NULL
);

-- Every event once, in the order of writing, each row sealed together with the one before it.
CREATE TABLE messages.compliance_entry (
    seq        bigint PRIMARY KEY,
    event_id   uuid NOT NULL UNIQUE,
    type       text NOT NULL,
    body       text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 8192),
    at         timestamptz NOT NULL,
    written_at timestamptz NOT NULL,
    previous   bytea NOT NULL CHECK (length(previous) = 32),
    digest     bytea NOT NULL CHECK (length(digest) = 32)
);

CREATE FUNCTION messages.digest_of(previous bytea, seq bigint, event_id uuid, body text) RETURNS bytea
    LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT pg_catalog.sha256(previous || pg_catalog.convert_to(seq || ' ' || event_id || ' ' || body, 'UTF8'))
$$;

CREATE FUNCTION messages.chain_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    newest record;
BEGIN
    -- One writer at a time, until its transaction ends: two rows must not follow the same one.
    PERFORM pg_catalog.pg_advisory_xact_lock('messages.compliance_entry'::pg_catalog.regclass::bigint);
    SELECT entry.seq, entry.digest INTO newest FROM messages.compliance_entry AS entry ORDER BY entry.seq DESC LIMIT 1;
    NEW.seq := coalesce(newest.seq, 0) + 1;
    NEW.previous := coalesce(newest.digest, pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex'));
    NEW.digest := messages.digest_of(NEW.previous, NEW.seq, NEW.event_id, NEW.body);
    RETURN NEW;
END
$$;

CREATE FUNCTION messages.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER entry_chained BEFORE INSERT ON messages.compliance_entry
    FOR EACH ROW EXECUTE FUNCTION messages.chain_entry();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON messages.compliance_entry
    FOR EACH STATEMENT EXECUTE FUNCTION messages.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON messages.notification
    FOR EACH STATEMENT EXECUTE FUNCTION messages.refuse_change();
ALTER TABLE messages.compliance_entry ENABLE ALWAYS TRIGGER entry_chained;
ALTER TABLE messages.compliance_entry ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE messages.notification ENABLE ALWAYS TRIGGER append_only;

-- Rows that were changed, or whose predecessor is gone; none, if nobody tampered.
CREATE VIEW messages.compliance_breaks AS
SELECT seq, event_id FROM (
    SELECT seq, event_id, previous, digest, body,
           lag(digest, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY seq) AS expected,
           lag(seq, 1, 0::bigint) OVER (ORDER BY seq) AS before
    FROM messages.compliance_entry) AS entry
WHERE previous <> expected OR seq <> before + 1 OR digest <> messages.digest_of(previous, seq, event_id, body);

-- Requests for replays, which the worker carries out. `up_to` is fixed once: later dead letters wait for the next request.
CREATE TABLE messages.replay (
    id             uuid PRIMARY KEY,
    queue          text NOT NULL CHECK (queue IN ('notifications', 'compliance_log')),
    requested_by   text NOT NULL,
    requested_at   timestamptz NOT NULL,
    reason         text NOT NULL,
    correlation_id text NOT NULL,
    begun_at       timestamptz,
    up_to          bigint CHECK (up_to >= 0),
    found          bigint CHECK (found >= 0),
    finished_at    timestamptz,
    CONSTRAINT begun_whole CHECK ((begun_at IS NULL) = (up_to IS NULL) AND (begun_at IS NULL) = (found IS NULL)),
    CONSTRAINT finished_after_begun CHECK (finished_at IS NULL OR begun_at IS NOT NULL)
);

-- A second request before the first has begun would be for the same letters.
CREATE UNIQUE INDEX replay_waiting ON messages.replay (queue) WHERE begun_at IS NULL;
CREATE INDEX replay_open ON messages.replay (requested_at) WHERE finished_at IS NULL;
CREATE INDEX replay_newest ON messages.replay (requested_at DESC);

CREATE FUNCTION messages.refuse_second_end() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'replay % has ended or begun: it does so once', OLD.id USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER begun_once BEFORE UPDATE ON messages.replay
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR (OLD.up_to IS NOT NULL AND OLD.up_to IS DISTINCT FROM NEW.up_to))
    EXECUTE FUNCTION messages.refuse_second_end();

-- What the worker last counted, for the API, which has no connection to NATS.
CREATE TABLE messages.dead_letter_depth (
    queue       text NOT NULL,
    reason      text NOT NULL,
    depth       bigint NOT NULL CHECK (depth >= 0),
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (queue, reason)
);
