-- From here on everything is watched. As the owner, so that the service itself cannot write `posted`.
CREATE FUNCTION ledger.register_entry() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    NEW.written_in := pg_catalog.pg_current_xact_id();
    INSERT INTO ledger.posted (operation_id, entry_id) VALUES (NEW.operation_id, NEW.id);
    RETURN NEW;
END
$$;

CREATE TRIGGER entry_registered BEFORE INSERT ON ledger.entry
    FOR EACH ROW EXECUTE FUNCTION ledger.register_entry();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_registered;

SELECT ledger.close_to_change('ledger.entry');
SELECT ledger.close_to_change('ledger.entry_default');
SELECT ledger.close_to_change('ledger.posted');
SELECT ledger.close_to_change('ledger.seal');

-- Postings as they always were: holds promise money, and no witness outside knows of them.
CREATE VIEW oracle.ledger_lines AS
SELECT entry.id AS entry_id,
       entry.kind AS entry_kind,
       entry.operation_id,
       payment.provider,
       operation.provider_key,
       entry.payment_id,
       payment.merchant_reference,
       operation.idempotency_key,
       leg.account,
       leg.currency,
       leg.amount_minor,
       entry.posted_at
FROM ledger.entry
LEFT JOIN LATERAL unnest(entry.accounts, entry.currencies, entry.amounts_minor)
          AS leg (account, currency, amount_minor) ON leg.account NOT LIKE 'hold\_%'
LEFT JOIN payments.operation ON operation.id = entry.operation_id
LEFT JOIN payments.payment ON payment.id = entry.payment_id
WHERE entry.kind NOT IN ('hold', 'release');

GRANT SELECT ON ledger.entry, ledger.line, ledger.posted, ledger.seal, ledger.balance, ledger.archive TO refpay_app;
GRANT INSERT (id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    ON ledger.entry TO refpay_app;
REVOKE EXECUTE ON FUNCTION ledger.make_partitions, ledger.seal_entries, ledger.close_to_change FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.make_partitions, ledger.seal_entries TO refpay_app;
GRANT SELECT ON oracle.ledger_lines TO refpay_oracle;
