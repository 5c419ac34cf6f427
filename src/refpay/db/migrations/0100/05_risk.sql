CREATE SCHEMA risk;

-- All that risk sees of payments: small authorizations and whether the issuer declined them.
-- The ceiling is that of the index, so a window is read from few rows and ordinary payments add nothing to it.
CREATE INDEX payment_small_recent ON payments.payment (card_range, created_at) WHERE amount_minor <= 1000;

CREATE VIEW risk.small_authorization AS
SELECT card_range,
       created_at AS at,
       amount_minor,
       status IN ('authorized', 'captured', 'refunded', 'declined') AS answered,
       status = 'declined' AS declined
FROM payments.payment
WHERE amount_minor <= 1000;

-- Card ranges that were ever blocked, each with its last change.
CREATE TABLE risk.card_range (
    card_range text PRIMARY KEY CHECK (card_range ~ '^[0-9]{6}$'),
    blocked    boolean NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    reason     text NOT NULL
);

-- One row for each authorization that a rule found suspicious or that was blocked; ordinary ones add no row.
CREATE TABLE risk.finding (
    operation_id uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    card_range   text NOT NULL CHECK (card_range ~ '^[0-9]{6}$'),
    rule         text CHECK (rule IN ('card_testing')),
    blocked      boolean NOT NULL,
    CONSTRAINT finds_something CHECK (rule IS NOT NULL OR blocked)
);

CREATE INDEX finding_recent ON risk.finding (at);

CREATE FUNCTION risk.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'risk.finding is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.finding
    FOR EACH STATEMENT EXECUTE FUNCTION risk.refuse_change();
ALTER TABLE risk.finding ENABLE ALWAYS TRIGGER append_only;
