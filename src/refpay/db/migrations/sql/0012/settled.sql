-- What a movement is settled in; absent if in its own currency.
ALTER TABLE reconciliation.line
    ADD COLUMN settled_currency text CHECK (settled_currency ~ '^[A-Z]{3}$'),
    ADD COLUMN settled_minor bigint CHECK (settled_minor > 0),
    ADD CONSTRAINT settled_whole CHECK ((settled_currency IS NULL) = (settled_minor IS NULL)),
    ADD CONSTRAINT settled_plausible CHECK (settled_currency <> currency OR settled_minor = amount_minor);
