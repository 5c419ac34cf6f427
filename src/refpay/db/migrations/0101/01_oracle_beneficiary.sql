-- Whom an entry is about, and which settlement report a fee or an exchange comes from. A report and its entries are
-- written in one transaction with one time, which no other report of the provider has. Grouped, so that an entry
-- shows once whatever the times are.
CREATE OR REPLACE VIEW oracle.ledger_lines AS
SELECT entry.id AS entry_id,
       entry.kind AS entry_kind,
       entry.operation_id,
       coalesce(payment.provider, payout.provider, revision.provider) AS provider,
       operation.provider_key,
       entry.payment_id,
       coalesce(payment.merchant_reference, payout.merchant_reference) AS merchant_reference,
       operation.idempotency_key,
       leg.account,
       leg.currency,
       leg.amount_minor,
       entry.posted_at,
       coalesce(payment.merchant, payout.merchant) AS merchant,
       revision.sequence AS report
FROM ledger.entry
LEFT JOIN LATERAL unnest(entry.accounts, entry.currencies, entry.amounts_minor)
          AS leg (account, currency, amount_minor) ON leg.account NOT LIKE 'hold\_%'
LEFT JOIN payments.operation ON operation.id = entry.operation_id
LEFT JOIN payments.payment ON payment.id = entry.payment_id
LEFT JOIN payments.payout ON payout.id = entry.operation_id
LEFT JOIN (SELECT provider, received_at, min(sequence) AS sequence FROM reconciliation.revision
           GROUP BY provider, received_at) AS revision
          ON entry.kind IN ('fee', 'fx') AND revision.received_at = entry.posted_at
          AND entry.accounts @> ARRAY['provider_receivable:' || revision.provider]
WHERE entry.kind NOT IN ('hold', 'release');
