-- What was under way: a capture that has not ended takes its part of what is left, as every later one does.
UPDATE payments.payment SET capture_reserved_minor = operation.amount_minor
FROM payments.operation
WHERE operation.payment_id = payment.id AND operation.kind = 'capture'
  AND operation.status IN ('started', 'indeterminate');

-- What is held already is held in the ledger too, dated as it was; or a later capture would release what never was.
SELECT ledger.make_partitions(month, 0) FROM (
    SELECT DISTINCT date_trunc('month', settled_at, 'UTC') AS month FROM payments.operation
    WHERE kind = 'authorize' AND status = 'succeeded' ORDER BY 1) AS held;

INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
SELECT overlay(ledger.first_id(operation.settled_at)::text PLACING substr(gen_random_uuid()::text, 16) FROM 16)::uuid,
       'hold', operation.id, payment.id, operation.settled_at,
       ARRAY['hold_receivable:' || payment.provider, 'hold_payable:' || payment.merchant],
       ARRAY[payment.currency, payment.currency],
       ARRAY[payment.amount_minor - payment.captured_minor, payment.captured_minor - payment.amount_minor]
FROM payments.payment
JOIN payments.operation ON operation.payment_id = payment.id
     AND operation.kind = 'authorize' AND operation.status = 'succeeded'
WHERE payment.captured_minor < payment.amount_minor;
