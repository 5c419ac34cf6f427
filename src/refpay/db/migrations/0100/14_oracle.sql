-- All that an independent witness may see, and nothing that it may write.
CREATE SCHEMA oracle;

-- Postings without holds, which only promise money. Outer joins: an entry without its operation must show, not vanish.
-- A payout's entry belongs to no payment; its provider and reference are those of the payout.
CREATE VIEW oracle.ledger_lines AS
SELECT entry.id AS entry_id,
       entry.kind AS entry_kind,
       entry.operation_id,
       coalesce(payment.provider, payout.provider) AS provider,
       operation.provider_key,
       entry.payment_id,
       coalesce(payment.merchant_reference, payout.merchant_reference) AS merchant_reference,
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
LEFT JOIN payments.payout ON payout.id = entry.operation_id
WHERE entry.kind NOT IN ('hold', 'release');

CREATE VIEW oracle.unresolved_operations AS
SELECT id AS operation_id, kind, status, created_at
FROM payments.operation
WHERE status IN ('started', 'indeterminate');
