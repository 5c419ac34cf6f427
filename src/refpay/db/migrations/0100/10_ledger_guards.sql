-- Runs as the owner, so that the service itself cannot write `posted`.
CREATE FUNCTION ledger.register_entry() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    NEW.written_in := pg_catalog.pg_current_xact_id();
    INSERT INTO ledger.posted (operation_id, entry_id) VALUES (NEW.operation_id, NEW.id);
    RETURN NEW;
END
$$;

CREATE TRIGGER entry_registered BEFORE INSERT ON ledger.entry
    FOR EACH ROW EXECUTE FUNCTION ledger.register_entry();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_registered;

SELECT ledger.close_to_change('ledger.entry');
SELECT ledger.close_to_change('ledger.entry_default');
SELECT ledger.close_to_change('ledger.posted');
SELECT ledger.close_to_change('ledger.seal');
