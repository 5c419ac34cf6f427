ALTER TABLE audit.event DROP CONSTRAINT event_subject_kind_check;
ALTER TABLE audit.event ADD CONSTRAINT event_subject_kind_check
    CHECK (subject_kind IN ('payment', 'payout', 'operation', 'provider', 'queue', 'card_range'));
