CREATE FUNCTION ledger.refuse_entry_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Correct an entry with a reversal.';
END
$$;

-- A partition is a table of its own, so it needs the trigger of its parent too.
CREATE FUNCTION ledger.close_to_change(place regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    EXECUTE pg_catalog.format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_entry_change()', place);
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', place);
END
$$;

-- Makes the partitions of the month of `at` and of so many after it; returns the rows in the default partition, which
-- have to be none. A month whose rows are there already cannot be made, and is left out.
CREATE FUNCTION ledger.make_partitions(at timestamptz, months_ahead integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz;
    low   uuid;
    high  uuid;
    made  text;
    stray bigint;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 12 THEN
        RAISE EXCEPTION 'months ahead: %, allowed: 0 to 12', months_ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock('ledger.entry'::regclass::bigint);
    SELECT pg_catalog.count(*) INTO stray FROM ledger.entry_default;
    -- A limit, in case the caller's clock is wrong.
    IF (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits WHERE inhparent = 'ledger.entry'::regclass) > 240 THEN
        RETURN stray;
    END IF;
    FOR ahead IN 0..months_ahead LOOP
        month := pg_catalog.date_trunc('month', at) + pg_catalog.make_interval(months => ahead);
        made := 'entry_' || pg_catalog.to_char(month, 'YYYY_MM');
        CONTINUE WHEN pg_catalog.to_regclass('ledger.' || made) IS NOT NULL;
        low := ledger.first_id(month);
        high := ledger.first_id(month + interval '1 month');
        CONTINUE WHEN EXISTS (SELECT FROM ledger.entry_default WHERE id >= low AND id < high);
        CONTINUE WHEN EXISTS (SELECT FROM ledger.archive WHERE archive.name = made AND archive.restored_at IS NULL);
        -- Created and then attached, because PARTITION OF would block writers of the ledger.
        EXECUTE pg_catalog.format('CREATE TABLE ledger.%I (LIKE ledger.entry INCLUDING ALL)', made);
        EXECUTE pg_catalog.format(
            'ALTER TABLE ledger.entry ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)', made, low, high);
        PERFORM ledger.close_to_change(('ledger.' || made)::regclass);
    END LOOP;
    RETURN stray;
END
$$;
