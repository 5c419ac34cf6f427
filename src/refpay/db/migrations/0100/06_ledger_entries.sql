CREATE SCHEMA ledger;

-- One row is one entry with all its lines. It is balanced when it is written or it is not written, and nothing is checked
-- at COMMIT. The rule is a constraint, which also holds where triggers are off, in COPY and for the owner.

-- A version 7 identifier that sorts before every other one of its millisecond. For an instant outside their range, also
-- infinity, the first or the last one.
CREATE FUNCTION ledger.first_id(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = '' AS $$
    SELECT (pg_catalog.lpad(pg_catalog.to_hex(least(greatest(pg_catalog.floor(
        EXTRACT(epoch FROM at) * 1000), 0), 281474976710655)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Zero in each currency by itself, in one pass where there is one currency, as nearly always. As numeric, because the sum
-- of two amounts of 63 bits may not fit into 64.
CREATE FUNCTION ledger.lines_balanced(currencies text[], amounts_minor bigint[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
    total numeric := 0;
BEGIN
    FOR i IN 1..cardinality(amounts_minor) LOOP
        IF currencies[i] = currencies[1] THEN
            total := total + amounts_minor[i];
        ELSE
            RETURN NOT EXISTS (
                SELECT FROM unnest(currencies, amounts_minor) AS leg (currency, amount_minor)
                GROUP BY leg.currency HAVING sum(leg.amount_minor) <> 0);
        END IF;
    END LOOP;
    RETURN total = 0;
END
$$;

-- Returns true or raises. One function and one constraint, because each further one costs every entry as much again.
CREATE FUNCTION ledger.entry_holds(
    id uuid, kind text, payment_id uuid, posted_at timestamptz, accounts text[], currencies text[], amounts_minor bigint[]
) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
    count integer := cardinality(amounts_minor);
    total numeric := 0;
BEGIN
    IF (uuid_extract_timestamp(id) BETWEEN posted_at - interval '1 second' AND posted_at + interval '1 second') IS NOT TRUE
    THEN
        RAISE EXCEPTION 'ledger entry % is not dated by its id: %', id, posted_at
            USING ERRCODE = 'check_violation', CONSTRAINT = 'dated_by_id';
    END IF;
    IF kind IN ('hold', 'release', 'posting', 'reversal') THEN
        IF payment_id IS NULL THEN
            RAISE EXCEPTION 'ledger entry % names no payment: %', id, kind
                USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_named';
        END IF;
    ELSIF kind NOT IN ('payout', 'chargeback', 'chargeback_reversal', 'fee', 'fx', 'suspense', 'suspense_release') THEN
        RAISE EXCEPTION 'ledger entry % is of no kind: %', id, kind
            USING ERRCODE = 'check_violation', CONSTRAINT = 'kind_known';
    END IF;
    -- Two lines or more; in all three arrays at the same places, which begin at 1.
    IF (count BETWEEN 2 AND 64 AND array_dims(amounts_minor) = '[1:' || count || ']'
        AND array_dims(accounts) = array_dims(amounts_minor) AND array_dims(currencies) = array_dims(amounts_minor)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'ledger entry % has % lines, allowed: 2 to 64', id, count
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lines_whole';
    END IF;
    FOR i IN 1..count LOOP
        IF (accounts[i] ~ '^[a-z_]+:[!-~]+$' AND currencies[i] ~ '^[A-Z]{3}$' AND amounts_minor[i] <> 0) IS NOT TRUE THEN
            RAISE EXCEPTION 'ledger entry %, line %, has a wrong account, currency or amount_minor', id, i
                USING ERRCODE = 'check_violation', CONSTRAINT = 'lines_whole';
        END IF;
        total := total + amounts_minor[i];
        -- An account appears once a currency, so it cannot cancel itself out.
        FOR j IN i + 1..count LOOP
            IF accounts[j] = accounts[i] AND currencies[j] = currencies[i] THEN
                RAISE EXCEPTION 'ledger entry % has an account twice: %', id, accounts[i]
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'lines_whole';
            END IF;
        END LOOP;
    END LOOP;
    -- In one currency the total is the sum; in several each has to be 0 for the total to be.
    IF total <> 0 OR (currencies[1] <> ANY (currencies) AND NOT ledger.lines_balanced(currencies, amounts_minor)) THEN
        RAISE EXCEPTION 'ledger entry % is unbalanced', id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lines_balanced';
    END IF;
    RETURN true;
END
$$;

-- Partitioned by its id, which is of version 7 and so begins with the time: unlike the time it is unique by itself.
CREATE TABLE ledger.entry (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    operation_id  uuid NOT NULL,
    payment_id    uuid,
    posted_at     timestamptz NOT NULL,
    -- The transaction that wrote the entry; set by the database. With the id, the order in which entries are sealed.
    written_in    xid8 NOT NULL,
    -- Debit positive; the lines are what stands at the same place of all three.
    accounts      text[] NOT NULL,
    currencies    text[] NOT NULL,
    amounts_minor bigint[] NOT NULL,
    CONSTRAINT entry_holds
        CHECK (ledger.entry_holds(id, kind, payment_id, posted_at, accounts, currencies, amounts_minor))
) PARTITION BY RANGE (id);

CREATE INDEX entry_in_order ON ledger.entry (written_in, id);

-- Takes entries of months without a partition: an alert, and never a refused payment.
CREATE TABLE ledger.entry_default PARTITION OF ledger.entry DEFAULT;

-- Exactly one entry for each operation, in any month. The row is kept when the entry goes to cold storage.
CREATE TABLE ledger.posted (
    operation_id uuid PRIMARY KEY,
    entry_id     uuid NOT NULL
);

-- The lines as rows, for queries.
CREATE VIEW ledger.line AS
SELECT entry.id AS entry_id, leg.account, leg.currency, leg.amount_minor,
       entry.kind, entry.operation_id, entry.payment_id, entry.posted_at, entry.written_in
FROM ledger.entry
CROSS JOIN LATERAL unnest(entry.accounts, entry.currencies, entry.amounts_minor) AS leg (account, currency, amount_minor);
