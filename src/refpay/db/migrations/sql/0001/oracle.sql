-- All that an independent witness may see, and nothing to write.
CREATE SCHEMA oracle;

-- Outer joins: an entry without its operation must show, not vanish.
CREATE VIEW oracle.ledger_lines AS
SELECT entry.id AS entry_id,
       entry.kind AS entry_kind,
       entry.operation_id,
       payment.provider,
       operation.provider_key,
       entry.payment_id,
       payment.merchant_reference,
       operation.idempotency_key,
       line.account,
       line.currency,
       line.amount_minor,
       entry.posted_at
FROM ledger.entry
LEFT JOIN ledger.line ON line.entry_id = entry.id
LEFT JOIN payments.operation ON operation.id = entry.operation_id
LEFT JOIN payments.payment ON payment.id = entry.payment_id;

CREATE VIEW oracle.unresolved_operations AS
SELECT id AS operation_id, kind, status, created_at
FROM payments.operation
WHERE status IN ('started', 'indeterminate');
