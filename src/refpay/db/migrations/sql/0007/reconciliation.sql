ALTER TABLE reconciliation.line
    DROP CONSTRAINT line_kind_check,
    ADD CONSTRAINT line_kind_check CHECK (kind IN ('capture', 'refund', 'chargeback', 'chargeback_reversal'));

DROP INDEX payments.operation_settled;
CREATE INDEX operation_settled ON payments.operation (settled_at)
    WHERE status = 'succeeded' AND kind IN ('capture', 'refund', 'undo_capture');
