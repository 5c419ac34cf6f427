ALTER TABLE ledger.entry
    -- A payout is of many payments.
    ALTER COLUMN payment_id DROP NOT NULL,
    DROP CONSTRAINT entry_kind_check,
    ADD CONSTRAINT entry_kind_check CHECK (kind IN (
        'hold', 'posting', 'release', 'reversal', 'payout', 'chargeback', 'chargeback_reversal', 'fee', 'fx',
        'suspense', 'suspense_release'));
