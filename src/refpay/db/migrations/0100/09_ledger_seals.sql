-- Each seal closes a run of entries in the order (written_in, id) and chains it to everything before. No run can miss a
-- late commit: it ends before the oldest transaction that was still open, and every later one has a greater number.
CREATE TABLE ledger.seal (
    seq        bigint PRIMARY KEY,
    at         timestamptz NOT NULL,
    entries    integer NOT NULL CHECK (entries > 0),
    -- The place of the last entry.
    through_in xid8 NOT NULL,
    through_id uuid NOT NULL,
    -- 48 octets an entry: its id and its digest. They name what differs, where one digest could only say that.
    leaves     bytea NOT NULL,
    previous   bytea NOT NULL CHECK (octet_length(previous) = 32),
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    CONSTRAINT leaf_each CHECK (octet_length(leaves) = 48::bigint * entries)
);

-- Digests do not compress.
ALTER TABLE ledger.seal ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- The balances of the sealed entries. Only sealing writes them, so no payment waits for one of their rows.
CREATE TABLE ledger.balance (
    account       text NOT NULL,
    currency      text NOT NULL,
    balance_minor numeric NOT NULL CHECK (scale(balance_minor) = 0),
    -- The last seal that moved it.
    seq           bigint NOT NULL REFERENCES ledger.seal,
    PRIMARY KEY (account, currency)
);

-- The text that an entry's digest is of. `refpay.ledger.chain` makes the same text independently, so that one bug cannot
-- seal itself.
CREATE FUNCTION ledger.entry_text(entry ledger.entry) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT pg_catalog.concat_ws(' ', entry.written_in, entry.id, entry.kind, entry.operation_id,
        coalesce(entry.payment_id::text, '-'), (EXTRACT(epoch FROM entry.posted_at) * 1000000)::bigint,
        pg_catalog.array_to_json(entry.accounts), pg_catalog.array_to_json(entry.currencies),
        pg_catalog.array_to_json(entry.amounts_minor))
$$;

CREATE FUNCTION ledger.seal_digest(previous bytea, seq bigint, leaves bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT pg_catalog.sha256(previous || pg_catalog.int8send(seq) || pg_catalog.sha256(leaves))
$$;

-- Seals at most so many entries; returns how many, 0 when nothing is to be sealed yet.
CREATE FUNCTION ledger.seal_entries(at timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    newest  record;
    sealed  integer;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock('ledger.seal'::regclass::bigint);
    SELECT seal.seq, seal.through_in, seal.through_id, seal.digest INTO newest
        FROM ledger.seal ORDER BY seal.seq DESC LIMIT 1;
    IF newest.through_in >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) THEN
        RAISE EXCEPTION 'transactions are numbered behind seal %: the cluster is another one', newest.seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A dump was restored. Set the next transaction after the seal with pg_resetwal.';
    END IF;
    WITH run AS MATERIALIZED (
        SELECT entry.written_in, entry.id, entry.accounts, entry.currencies, entry.amounts_minor,
               pg_catalog.uuid_send(entry.id)
               || pg_catalog.sha256(pg_catalog.convert_to(ledger.entry_text(entry), 'UTF8')) AS leaf
        FROM ledger.entry
        WHERE (entry.written_in, entry.id) > (coalesce(newest.through_in, '0'::xid8),
                                             coalesce(newest.through_id, '00000000-0000-0000-0000-000000000000'))
          AND entry.written_in < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
        ORDER BY entry.written_in, entry.id LIMIT most
    ), whole AS (
        SELECT coalesce(newest.seq, 0) + 1 AS seq,
               coalesce(newest.digest, pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex')) AS previous,
               pg_catalog.count(*)::integer AS entries,
               pg_catalog.string_agg(run.leaf, ''::bytea ORDER BY run.written_in, run.id) AS leaves
        FROM run HAVING pg_catalog.count(*) > 0
    ), last AS (
        SELECT run.written_in, run.id FROM run ORDER BY run.written_in DESC, run.id DESC LIMIT 1
    ), sealing AS (
        INSERT INTO ledger.seal (seq, at, entries, through_in, through_id, leaves, previous, digest)
        SELECT whole.seq, seal_entries.at, whole.entries, last.written_in, last.id, whole.leaves, whole.previous,
               ledger.seal_digest(whole.previous, whole.seq, whole.leaves)
        FROM whole, last
        RETURNING seal.seq, seal.entries
    ), moved AS (
        INSERT INTO ledger.balance AS known (account, currency, balance_minor, seq)
        SELECT leg.account, leg.currency, pg_catalog.sum(leg.amount_minor), sealing.seq
        FROM sealing, run, LATERAL unnest(run.accounts, run.currencies, run.amounts_minor)
                           AS leg (account, currency, amount_minor)
        GROUP BY leg.account, leg.currency, sealing.seq
        ON CONFLICT (account, currency)
            DO UPDATE SET balance_minor = known.balance_minor + excluded.balance_minor, seq = excluded.seq
    )
    SELECT sealing.entries INTO sealed FROM sealing;
    RETURN coalesce(sealed, 0);
END
$$;
