-- An entry without the operation or the settlement report that it books is refused at COMMIT, whoever writes it. The
-- checks of the running service ask more, with SQL of their own: amounts line by line, accounts, and a late outcome's
-- record.
CREATE FUNCTION ledger.refuse_uncaused() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF NEW.kind IN ('fee', 'fx') THEN
        PERFORM FROM reconciliation.revision
        WHERE revision.provider = pg_catalog.split_part(NEW.accounts[1], ':', 2) AND revision.received_at = NEW.posted_at;
    ELSE
        PERFORM FROM payments.operation
        WHERE operation.id = NEW.operation_id AND operation.payment_id IS NOT DISTINCT FROM NEW.payment_id
          AND NEW.amounts_minor[1] <= operation.amount_minor AND operation.settled_at IS NOT NULL
          AND operation.kind = ANY (CASE NEW.kind
              WHEN 'hold' THEN ARRAY['authorize']
              WHEN 'release' THEN ARRAY['void', 'expiry']
              WHEN 'posting' THEN ARRAY['capture']
              WHEN 'reversal' THEN ARRAY['refund']
              WHEN 'suspense' THEN ARRAY['capture', 'refund', 'undo_capture']
              ELSE ARRAY[NEW.kind] END);
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ledger entry % has no cause: %', NEW.id, NEW.kind
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_caused';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER entry_caused AFTER INSERT ON ledger.entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.refuse_uncaused();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_caused;

-- Which report a fee or an exchange comes from.
CREATE INDEX revision_received ON reconciliation.revision (provider, received_at);
