-- What people decide on a refund that came too late; once for each, as what the worker takes back.
ALTER TABLE payments.operation
    DROP CONSTRAINT operation_kind_check,
    ADD CONSTRAINT operation_kind_check CHECK (kind IN (
        'authorize', 'capture', 'void', 'expiry', 'refund', 'payout', 'chargeback', 'chargeback_reversal',
        'undo_authorize', 'undo_capture', 'suspense_release'));

DROP INDEX payments.operation_undone_once;
CREATE UNIQUE INDEX operation_undone_once ON payments.operation (parent_id)
    WHERE kind IN ('undo_authorize', 'undo_capture', 'suspense_release');
