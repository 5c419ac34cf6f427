-- These constraints are lifecycle.LIFE_CYCLE in the database's words; a test compares the two.
ALTER TABLE payments.payment
    ADD COLUMN capture_reserved_minor bigint NOT NULL DEFAULT 0,
    -- What a void or an expiry gave back of the hold, and what a capture that came too late had taken of it.
    ADD COLUMN released_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN charged_back_minor bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT payment_status_check,
    DROP CONSTRAINT captured_within_authorized,
    ADD CONSTRAINT payment_status_check CHECK (status IN (
        'authorizing', 'authorized', 'declined', 'failed', 'indeterminate', 'captured', 'refunded', 'voided',
        'expired', 'charged_back')),
    -- Written as subtractions: sums could pass 2^63.
    ADD CONSTRAINT captured_within_authorized CHECK (
        captured_minor >= 0 AND capture_reserved_minor >= 0 AND released_minor >= 0
        AND captured_minor <= amount_minor AND released_minor <= amount_minor - captured_minor
        AND capture_reserved_minor <= amount_minor - captured_minor - released_minor),
    ADD CONSTRAINT charged_back_within_captured CHECK (charged_back_minor BETWEEN 0 AND captured_minor),
    ADD CONSTRAINT status_fits_amounts CHECK (CASE status
        WHEN 'authorized' THEN captured_minor = 0 AND released_minor < amount_minor
        WHEN 'voided' THEN captured_minor = 0 AND released_minor = amount_minor
        WHEN 'expired' THEN captured_minor = 0 AND released_minor = amount_minor
        WHEN 'captured' THEN refunded_minor < captured_minor AND charged_back_minor = 0
        WHEN 'refunded' THEN refunded_minor > 0 AND refunded_minor = captured_minor AND charged_back_minor = 0
        WHEN 'charged_back' THEN charged_back_minor > 0
        ELSE captured_minor = 0 AND released_minor = 0 END);

CREATE FUNCTION payments.refuse_transition() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'payment % may not go from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
END
$$;

-- The condition alone costs next to nothing; the function is called only to refuse.
CREATE TRIGGER transition_allowed BEFORE UPDATE ON payments.payment
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
        'authorizing>authorized', 'authorizing>declined', 'authorizing>failed', 'authorizing>indeterminate',
        'indeterminate>authorized', 'indeterminate>declined', 'indeterminate>failed',
        'authorized>captured', 'authorized>voided', 'authorized>expired',
        'captured>refunded', 'captured>charged_back', 'refunded>captured', 'refunded>charged_back',
        'charged_back>captured', 'charged_back>refunded']))
    EXECUTE FUNCTION payments.refuse_transition();

-- Holds that are still open, by age: what expiry looks for.
CREATE INDEX payment_held ON payments.payment (created_at)
    WHERE status IN ('authorized', 'captured', 'refunded', 'charged_back')
      AND released_minor < amount_minor - captured_minor;

-- What is on its way out of a merchant's balance.
CREATE INDEX payment_refunding ON payments.payment (merchant, currency) WHERE refund_reserved_minor > 0;

ALTER TABLE payments.operation
    ALTER COLUMN payment_id DROP NOT NULL,
    DROP CONSTRAINT operation_kind_check,
    ADD CONSTRAINT operation_kind_check CHECK (kind IN (
        'authorize', 'capture', 'void', 'expiry', 'refund', 'payout', 'chargeback', 'chargeback_reversal',
        'undo_authorize', 'undo_capture')),
    -- The operation that this one builds on or takes back, and the provider's name of it.
    ADD COLUMN parent_id uuid REFERENCES payments.operation,
    ADD COLUMN parent_reference text,
    -- Until when one process alone works on it; without a value, until its call deadline.
    ADD COLUMN lease_until timestamptz,
    ADD CONSTRAINT payout_has_no_payment CHECK ((kind = 'payout') = (payment_id IS NULL));

ALTER TABLE payments.operation DISABLE TRIGGER settled_once;
UPDATE payments.operation SET parent_id = parent.id, parent_reference = parent.provider_reference
FROM payments.operation AS parent
WHERE parent.payment_id = operation.payment_id AND parent.status = 'succeeded'
  AND parent.kind = CASE operation.kind WHEN 'capture' THEN 'authorize' WHEN 'refund' THEN 'capture' END;
ALTER TABLE payments.operation ENABLE TRIGGER settled_once;

DROP INDEX payments.operation_once;
-- On its way or done, there is one authorization and one release of what is left of it ...
CREATE UNIQUE INDEX operation_once ON payments.operation (payment_id, (kind = 'authorize'))
    WHERE kind IN ('authorize', 'void', 'expiry') AND status IN ('started', 'indeterminate', 'succeeded');
-- ... what came too late is taken back once, ever, and what a provider begins is known by its name of it.
CREATE UNIQUE INDEX operation_undone_once ON payments.operation (parent_id)
    WHERE kind IN ('undo_authorize', 'undo_capture');
CREATE UNIQUE INDEX operation_begun_by_provider ON payments.operation (principal, kind, idempotency_key)
    WHERE kind IN ('chargeback', 'chargeback_reversal');

-- The one operation of a payout has its id.
CREATE TABLE payments.payout (
    id                 uuid PRIMARY KEY,
    merchant           text NOT NULL,
    merchant_reference text NOT NULL,
    amount_minor       bigint NOT NULL CHECK (amount_minor > 0),
    currency           text NOT NULL CHECK (currency IN ('EUR', 'USD', 'JPY', 'KWD')),
    provider           text NOT NULL CHECK (provider IN ('north', 'south')),
    created_at         timestamptz NOT NULL
);

-- Every message of a provider once, by its own id.
CREATE TABLE payments.webhook_event (
    provider    text NOT NULL CHECK (provider IN ('north', 'south')),
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX webhook_event_received ON payments.webhook_event (received_at);
