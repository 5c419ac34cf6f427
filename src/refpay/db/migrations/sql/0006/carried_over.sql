-- What was written before, with the transaction that wrote it. Only now, before anything watches, can it be kept.
DO $$
DECLARE
    wrong uuid;
    month timestamptz;
BEGIN
    SELECT entry.id INTO wrong
        FROM ledger.entry_before AS entry LEFT JOIN ledger.line_before AS line ON line.entry_id = entry.id
        GROUP BY entry.id
        HAVING count(line.account) < 2 OR NOT ledger.lines_balanced(array_agg(line.currency), array_agg(line.amount_minor))
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % is unbalanced: it cannot be carried over as it is', wrong
            USING HINT = 'Find out who changed it, and put it right, before you upgrade.';
    END IF;
    FOR month IN SELECT DISTINCT date_trunc('month', posted_at, 'UTC') FROM ledger.entry_before ORDER BY 1 LOOP
        PERFORM ledger.make_partitions(month, 0);
    END LOOP;
END
$$;

INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at, written_in, accounts, currencies, amounts_minor)
SELECT entry.id, entry.kind, entry.operation_id, entry.payment_id, entry.posted_at, entry.written_in,
       array_agg(line.account ORDER BY line.amount_minor < 0, line.account, line.currency),
       array_agg(line.currency ORDER BY line.amount_minor < 0, line.account, line.currency),
       array_agg(line.amount_minor ORDER BY line.amount_minor < 0, line.account, line.currency)
FROM ledger.entry_before AS entry JOIN ledger.line_before AS line ON line.entry_id = entry.id
GROUP BY entry.id ORDER BY entry.id;

INSERT INTO ledger.posted (operation_id, entry_id) SELECT operation_id, id FROM ledger.entry_before ORDER BY operation_id;

DROP TABLE ledger.line_before;
DROP TABLE ledger.entry_before;
DROP FUNCTION ledger.stamp_entry, ledger.refuse_unbalanced_lines, ledger.refuse_incomplete_entry, ledger.refuse_change;
