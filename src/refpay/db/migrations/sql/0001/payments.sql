CREATE SCHEMA payments;

CREATE TABLE payments.payment (
    id                    uuid PRIMARY KEY,
    merchant              text NOT NULL,
    merchant_reference    text NOT NULL,
    status                text NOT NULL CHECK (status IN (
        'authorizing', 'authorized', 'declined', 'failed', 'indeterminate', 'captured', 'refunded')),
    amount_minor          bigint NOT NULL CHECK (amount_minor > 0),
    currency              text NOT NULL CHECK (currency IN ('EUR', 'USD', 'JPY', 'KWD')),
    card_range            text NOT NULL CHECK (card_range ~ '^[0-9]{6}$'),
    provider              text NOT NULL CHECK (provider IN ('north', 'south')),
    captured_minor        bigint NOT NULL DEFAULT 0,
    refunded_minor        bigint NOT NULL DEFAULT 0,
    -- Refunds on their way: taken from what may still be refunded until they are known to have failed.
    refund_reserved_minor bigint NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL,
    CONSTRAINT captured_within_authorized CHECK (captured_minor BETWEEN 0 AND amount_minor),
    -- Written as a subtraction: the sum could pass 2^63.
    CONSTRAINT refunded_within_captured CHECK (
        refunded_minor >= 0 AND refund_reserved_minor >= 0
        AND refunded_minor <= captured_minor
        AND refund_reserved_minor <= captured_minor - refunded_minor)
);

-- One live charge per merchant and reference; a declined or failed one frees it for another attempt.
CREATE UNIQUE INDEX payment_live_reference ON payments.payment (merchant, merchant_reference)
    WHERE status NOT IN ('declined', 'failed');

CREATE TABLE payments.operation (
    id                  uuid PRIMARY KEY,
    payment_id          uuid NOT NULL REFERENCES payments.payment,
    kind                text NOT NULL CHECK (kind IN ('authorize', 'capture', 'refund')),
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
    CONSTRAINT settled_iff_final CHECK ((settled_at IS NOT NULL) = (status IN ('succeeded', 'declined', 'failed'))),
    CONSTRAINT judged_after_the_last_call CHECK (settle_after > call_deadline)
);

CREATE INDEX operation_of_payment ON payments.operation (payment_id, created_at);
CREATE INDEX operation_unresolved ON payments.operation (next_query_at) WHERE status IN ('started', 'indeterminate');
-- One authorization and one capture, on its way or done, per payment.
CREATE UNIQUE INDEX operation_once ON payments.operation (payment_id, kind)
    WHERE kind IN ('authorize', 'capture') AND status IN ('started', 'indeterminate', 'succeeded');

CREATE TABLE payments.idempotency_key (
    principal       text NOT NULL,
    key             text NOT NULL,
    fingerprint     bytea NOT NULL CHECK (length(fingerprint) = 32),
    -- Named when the key is claimed; a refusal never begins it, and a change of routing has none.
    operation_id    uuid,
    claimed_at      timestamptz NOT NULL,
    response_status integer,
    response_body   bytea,
    PRIMARY KEY (principal, key),
    CONSTRAINT stored_whole CHECK ((response_status IS NULL) = (response_body IS NULL))
);

CREATE UNIQUE INDEX idempotency_key_operation ON payments.idempotency_key (operation_id);

-- A stored answer, like a settled operation, never changes again.
CREATE FUNCTION payments.refuse_second_answer() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'already answered or settled: % is final', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER answered_once BEFORE UPDATE ON payments.idempotency_key
    FOR EACH ROW WHEN (OLD.response_status IS NOT NULL) EXECUTE FUNCTION payments.refuse_second_answer();
CREATE TRIGGER settled_once BEFORE UPDATE ON payments.operation
    FOR EACH ROW WHEN (OLD.settled_at IS NOT NULL) EXECUTE FUNCTION payments.refuse_second_answer();
