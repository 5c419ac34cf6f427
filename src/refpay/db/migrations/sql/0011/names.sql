-- What is asked before a payout is begun: whether its merchant's reference is taken.
CREATE INDEX payout_reference ON payments.payout (merchant, merchant_reference);

-- A provider's name of a chargeback is of one capture: two captures in dispute may share it.
DROP INDEX payments.operation_begun_by_provider;
CREATE UNIQUE INDEX operation_begun_by_provider ON payments.operation (principal, kind, idempotency_key, parent_id)
    WHERE kind IN ('chargeback', 'chargeback_reversal');

-- The attempts of one reference, newest first, so that a page of them reads a bounded number.
DROP INDEX payments.payment_ended_reference;
CREATE INDEX payment_ended_reference ON payments.payment (merchant, merchant_reference, id DESC)
    WHERE status IN ('declined', 'failed');
