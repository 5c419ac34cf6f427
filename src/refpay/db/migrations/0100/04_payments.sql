CREATE SCHEMA payments;

-- The constraints on statuses and amounts are `lifecycle.LIFE_CYCLE` in the database's words; a test compares the two.
CREATE TABLE payments.payment (
    id                     uuid PRIMARY KEY,
    merchant               text NOT NULL,
    merchant_reference     text NOT NULL,
    status                 text NOT NULL CHECK (status IN (
        'authorizing', 'authorized', 'declined', 'failed', 'indeterminate', 'captured', 'refunded', 'voided',
        'expired', 'charged_back')),
    amount_minor           bigint NOT NULL CHECK (amount_minor > 0),
    currency               text NOT NULL CHECK (currency IN ('EUR', 'USD', 'JPY', 'KWD')),
    card_range             text NOT NULL CHECK (card_range ~ '^[0-9]{6}$'),
    provider               text NOT NULL CHECK (provider IN ('north', 'south')),
    captured_minor         bigint NOT NULL DEFAULT 0,
    refunded_minor         bigint NOT NULL DEFAULT 0,
    -- Refunds on their way: taken from what may still be refunded until they are known to have failed.
    refund_reserved_minor  bigint NOT NULL DEFAULT 0,
    created_at             timestamptz NOT NULL,
    -- Captures on their way, likewise.
    capture_reserved_minor bigint NOT NULL DEFAULT 0,
    -- What a void or an expiry gave back of the hold, and what a capture that came too late had taken of it.
    released_minor         bigint NOT NULL DEFAULT 0,
    charged_back_minor     bigint NOT NULL DEFAULT 0,
    -- Written as subtractions: sums could pass 2^63.
    CONSTRAINT captured_within_authorized CHECK (
        captured_minor >= 0 AND capture_reserved_minor >= 0 AND released_minor >= 0
        AND captured_minor <= amount_minor AND released_minor <= amount_minor - captured_minor
        AND capture_reserved_minor <= amount_minor - captured_minor - released_minor),
    CONSTRAINT refunded_within_captured CHECK (
        refunded_minor >= 0 AND refund_reserved_minor >= 0
        AND refunded_minor <= captured_minor
        AND refund_reserved_minor <= captured_minor - refunded_minor),
    CONSTRAINT charged_back_within_captured CHECK (charged_back_minor BETWEEN 0 AND captured_minor),
    CONSTRAINT status_fits_amounts CHECK (CASE status
        WHEN 'authorized' THEN captured_minor = 0 AND released_minor < amount_minor
        WHEN 'voided' THEN captured_minor = 0 AND released_minor = amount_minor
        WHEN 'expired' THEN captured_minor = 0 AND released_minor = amount_minor
        WHEN 'captured' THEN refunded_minor < captured_minor AND charged_back_minor = 0
        WHEN 'refunded' THEN refunded_minor > 0 AND refunded_minor = captured_minor AND charged_back_minor = 0
        WHEN 'charged_back' THEN charged_back_minor > 0
        ELSE captured_minor = 0 AND released_minor = 0 END)
);

-- One live charge per merchant and reference; a declined or failed one frees it for another attempt.
CREATE UNIQUE INDEX payment_live_reference ON payments.payment (merchant, merchant_reference)
    WHERE status NOT IN ('declined', 'failed');
-- The attempts that `payment_live_reference` leaves out, newest first, so that a page of one reference reads few rows.
CREATE INDEX payment_ended_reference ON payments.payment (merchant, merchant_reference, id DESC)
    WHERE status IN ('declined', 'failed');
-- A merchant's payments, newest first: an id begins with the millisecond of its payment.
CREATE INDEX payment_of_merchant ON payments.payment (merchant, id DESC);
-- Other charges under a reference are looked up for each charge, also when the index that forbids them is gone.
CREATE INDEX payment_captured_reference ON payments.payment (merchant, merchant_reference) WHERE captured_minor > 0;
-- Holds that are still open, by age: what expiry looks for.
CREATE INDEX payment_held ON payments.payment (created_at)
    WHERE status IN ('authorized', 'captured', 'refunded', 'charged_back')
      AND released_minor < amount_minor - captured_minor;
-- What is on its way out of a merchant's balance.
CREATE INDEX payment_refunding ON payments.payment (merchant, currency) WHERE refund_reserved_minor > 0;

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

CREATE TABLE payments.operation (
    id                  uuid PRIMARY KEY,
    -- Absent for a payout, which belongs to no payment.
    payment_id          uuid REFERENCES payments.payment,
    kind                text NOT NULL CHECK (kind IN (
        'authorize', 'capture', 'void', 'expiry', 'refund', 'payout', 'chargeback', 'chargeback_reversal',
        'undo_authorize', 'undo_capture', 'suspense_release')),
    status              text NOT NULL CHECK (status IN (
        'started', 'indeterminate', 'succeeded', 'declined', 'failed')),
    amount_minor        bigint NOT NULL CHECK (amount_minor > 0),
    -- Minted once; the same in every attempt and every query.
    provider_key        uuid NOT NULL UNIQUE,
    provider_reference  text,
    decline_code        text,
    principal           text NOT NULL,
    idempotency_key     text NOT NULL,
    correlation_id      text NOT NULL,
    created_at          timestamptz NOT NULL,
    -- No process sends the operation to its provider after this.
    call_deadline       timestamptz NOT NULL,
    -- From here on "the provider does not know it" means that it never will.
    settle_after        timestamptz NOT NULL,
    next_query_at       timestamptz NOT NULL,
    query_attempts      integer NOT NULL DEFAULT 0,
    settled_at          timestamptz,
    settled_by          text,
    -- The operation that this one builds on or takes back, and the provider's name of it.
    parent_id           uuid REFERENCES payments.operation,
    parent_reference    text,
    -- Until when one process alone works on it; without a value, until its call deadline.
    lease_until         timestamptz,
    CONSTRAINT settled_iff_final CHECK ((settled_at IS NOT NULL) = (status IN ('succeeded', 'declined', 'failed'))),
    CONSTRAINT judged_after_the_last_call CHECK (settle_after > call_deadline),
    CONSTRAINT payout_has_no_payment CHECK ((kind = 'payout') = (payment_id IS NULL))
);

CREATE INDEX operation_of_payment ON payments.operation (payment_id, created_at);
CREATE INDEX operation_unresolved ON payments.operation (next_query_at) WHERE status IN ('started', 'indeterminate');
-- What a settlement report must have by now is looked up by when it was settled.
CREATE INDEX operation_settled ON payments.operation (settled_at)
    WHERE status = 'succeeded' AND kind IN ('capture', 'refund', 'undo_capture');
-- On its way or done, a payment has one authorization and one release of what is left of it.
CREATE UNIQUE INDEX operation_once ON payments.operation (payment_id, (kind = 'authorize'))
    WHERE kind IN ('authorize', 'void', 'expiry') AND status IN ('started', 'indeterminate', 'succeeded');
-- What came too late is taken back, or released by people, once and for all.
CREATE UNIQUE INDEX operation_undone_once ON payments.operation (parent_id)
    WHERE kind IN ('undo_authorize', 'undo_capture', 'suspense_release');
-- A provider's name of a chargeback is of one capture: two captures in dispute may share it.
CREATE UNIQUE INDEX operation_begun_by_provider ON payments.operation (principal, kind, idempotency_key, parent_id)
    WHERE kind IN ('chargeback', 'chargeback_reversal');

CREATE TABLE payments.idempotency_key (
    principal       text NOT NULL,
    key             text NOT NULL,
    fingerprint     bytea NOT NULL CHECK (length(fingerprint) = 32),
    -- Named when the key is claimed; a refusal never begins it, and a change of routing has none.
    operation_id    uuid,
    claimed_at      timestamptz NOT NULL,
    response_status integer,
    response_body   bytea,
    -- A key whose retention is over loses its answer and is kept: a late retry is refused, never carried out anew.
    reaped_at       timestamptz,
    PRIMARY KEY (principal, key),
    CONSTRAINT stored_whole CHECK (
        (response_status IS NULL) = (response_body IS NULL) OR (reaped_at IS NOT NULL AND response_body IS NULL)),
    CONSTRAINT reaped_when_answered CHECK (reaped_at IS NULL OR response_status IS NOT NULL)
);

CREATE UNIQUE INDEX idempotency_key_operation ON payments.idempotency_key (operation_id);
CREATE INDEX idempotency_key_kept ON payments.idempotency_key (claimed_at)
    WHERE reaped_at IS NULL AND response_status IS NOT NULL;

-- A stored answer, like a final operation, never changes again. An answered key changes once more: it is reaped, if its
-- operation, should it have one, is final.
CREATE FUNCTION payments.refuse_second_answer() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_TABLE_NAME = 'idempotency_key' THEN
        IF OLD.reaped_at IS NULL AND NEW.reaped_at IS NOT NULL AND NEW.response_status = OLD.response_status
           AND NOT EXISTS (
               SELECT FROM payments.operation WHERE id = OLD.operation_id AND settled_at IS NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'already answered or settled: % is final', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER answered_once BEFORE UPDATE ON payments.idempotency_key
    FOR EACH ROW WHEN (OLD.response_status IS NOT NULL) EXECUTE FUNCTION payments.refuse_second_answer();
CREATE TRIGGER settled_once BEFORE UPDATE ON payments.operation
    FOR EACH ROW WHEN (OLD.settled_at IS NOT NULL) EXECUTE FUNCTION payments.refuse_second_answer();

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

-- Before a payout is begun: is its merchant's reference taken?
CREATE INDEX payout_reference ON payments.payout (merchant, merchant_reference);

-- Every message of a provider once, by the provider's own id.
CREATE TABLE payments.webhook_event (
    provider    text NOT NULL CHECK (provider IN ('north', 'south')),
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);

CREATE INDEX webhook_event_received ON payments.webhook_event (received_at);
