CREATE SCHEMA identity;

-- The nonces of signed requests, kept for as long as one could be sent again.
CREATE TABLE identity.nonce (
    signer     text NOT NULL,
    nonce      text NOT NULL CHECK (length(nonce) BETWEEN 16 AND 64),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (signer, nonce)
);

CREATE INDEX nonce_expired ON identity.nonce (expires_at);

-- What one person asks for and another person has to approve before money moves.
CREATE TABLE identity.approval (
    id           uuid PRIMARY KEY,
    action       text NOT NULL,
    subject_kind text NOT NULL,
    subject_id   text NOT NULL,
    -- Exactly what is approved, and its digest.
    content      jsonb NOT NULL,
    fingerprint  bytea NOT NULL CHECK (length(fingerprint) = 32),
    reason       text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > requested_at),
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'refused', 'used')),
    decided_by   text,
    decided_at   timestamptz,
    used_at      timestamptz,
    CONSTRAINT second_person CHECK (decided_by <> requested_by),
    CONSTRAINT decided CHECK ((status = 'pending') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)),
    CONSTRAINT decided_in_time CHECK (decided_at < expires_at),
    CONSTRAINT used CHECK ((status = 'used') = (used_at IS NOT NULL)),
    CONSTRAINT used_in_time CHECK (used_at < expires_at)
);

CREATE INDEX approval_open ON identity.approval (subject_kind, subject_id, action) WHERE status IN ('pending', 'approved');

CREATE FUNCTION identity.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'identity.approval: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

-- The status only moves forward, and what was asked for never changes.
CREATE TRIGGER forward_only BEFORE UPDATE ON identity.approval
    FOR EACH ROW WHEN (
        (OLD.status, NEW.status) NOT IN (('pending', 'approved'), ('pending', 'refused'), ('approved', 'used'))
        OR (OLD.id, OLD.action, OLD.subject_kind, OLD.subject_id, OLD.content, OLD.fingerprint, OLD.reason,
            OLD.requested_by, OLD.requested_at, OLD.expires_at)
           IS DISTINCT FROM
           (NEW.id, NEW.action, NEW.subject_kind, NEW.subject_id, NEW.content, NEW.fingerprint, NEW.reason,
            NEW.requested_by, NEW.requested_at, NEW.expires_at)
        OR OLD.decided_by IS NOT NULL AND OLD.decided_by <> NEW.decided_by)
    EXECUTE FUNCTION identity.refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON identity.approval
    FOR EACH STATEMENT EXECUTE FUNCTION identity.refuse_change();
ALTER TABLE identity.approval ENABLE ALWAYS TRIGGER forward_only;
ALTER TABLE identity.approval ENABLE ALWAYS TRIGGER kept;
