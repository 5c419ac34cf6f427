-- The audit trail is sealed as the ledger is (0100/09_ledger_seals.sql): afterwards, in the order (written_in, id), and
-- never behind a transaction that is still open. Writing a record takes no lock and waits for no seal.

-- A constant first, so that the rows that are there are not written again: they come before all others.
ALTER TABLE audit.event ADD COLUMN written_in xid8 NOT NULL DEFAULT '0';
ALTER TABLE audit.event ALTER COLUMN written_in SET DEFAULT pg_catalog.pg_current_xact_id();
CREATE INDEX event_in_order ON audit.event (written_in, id);
-- Nothing reads this index, and an identity gives no number twice. So a record costs as many indexes as before.
ALTER TABLE audit.event DROP CONSTRAINT event_seq_key;

-- The database sets `seq` and `written_in`, and nobody else.
REVOKE INSERT ON audit.event FROM refpay_app;
GRANT INSERT (id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
    ON audit.event TO refpay_app;

CREATE TABLE audit.seal (LIKE ledger.seal INCLUDING ALL);

CREATE FUNCTION audit.refuse_seal_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'audit.seal is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_seal_change();
ALTER TABLE audit.seal ENABLE ALWAYS TRIGGER append_only;

-- The text that a record's digest is of. `refpay.audit.sealing` makes the same text independently, so that one bug cannot
-- seal itself. JSON, because an actor may contain anything; `before` and `after` as PostgreSQL writes them.
CREATE FUNCTION audit.event_text(event audit.event) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT pg_catalog.json_build_array(event.written_in::text, event.id, event.seq,
        (EXTRACT(epoch FROM event.at) * 1000000)::bigint, event.actor, event.action, event.subject_kind, event.subject_id,
        event.before::text, event.after::text, event.correlation_id)::text
$$;

-- Seals at most so many records; returns how many, 0 when nothing is to be sealed yet.
CREATE FUNCTION audit.seal_events(at timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    newest record;
    sealed integer;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock('audit.seal'::regclass::bigint);
    SELECT seal.seq, seal.through_in, seal.through_id, seal.digest INTO newest
        FROM audit.seal ORDER BY seal.seq DESC LIMIT 1;
    IF newest.through_in >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) THEN
        RAISE EXCEPTION 'transactions are numbered behind seal %: the cluster is another one', newest.seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A dump was restored. Set the next transaction after the seal with pg_resetwal.';
    END IF;
    WITH run AS MATERIALIZED (
        SELECT event.written_in, event.id,
               pg_catalog.uuid_send(event.id)
               || pg_catalog.sha256(pg_catalog.convert_to(audit.event_text(event), 'UTF8')) AS leaf
        FROM audit.event
        WHERE (event.written_in, event.id) > (coalesce(newest.through_in, '0'::xid8),
                                              coalesce(newest.through_id, '00000000-0000-0000-0000-000000000000'))
          AND event.written_in < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
        ORDER BY event.written_in, event.id LIMIT most
    ), whole AS (
        SELECT coalesce(newest.seq, 0) + 1 AS seq,
               coalesce(newest.digest, pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex')) AS previous,
               pg_catalog.count(*)::integer AS entries,
               pg_catalog.string_agg(run.leaf, ''::bytea ORDER BY run.written_in, run.id) AS leaves
        FROM run HAVING pg_catalog.count(*) > 0
    ), last AS (
        SELECT run.written_in, run.id FROM run ORDER BY run.written_in DESC, run.id DESC LIMIT 1
    )
    INSERT INTO audit.seal (seq, at, entries, through_in, through_id, leaves, previous, digest)
    SELECT whole.seq, seal_events.at, whole.entries, last.written_in, last.id, whole.leaves, whole.previous,
           ledger.seal_digest(whole.previous, whole.seq, whole.leaves)
    FROM whole, last
    RETURNING seal.entries INTO sealed;
    RETURN coalesce(sealed, 0);
END
$$;

GRANT SELECT ON audit.seal TO refpay_app;
REVOKE EXECUTE ON FUNCTION audit.seal_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.seal_events TO refpay_app;
