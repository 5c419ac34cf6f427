GRANT USAGE ON SCHEMA reconciliation TO refpay_app;
GRANT SELECT ON ALL TABLES IN SCHEMA reconciliation TO refpay_app;
-- With FOR UPDATE the row is a lock too.
GRANT UPDATE (run_sequence, horizon, watermark, next_due) ON reconciliation.progress TO refpay_app;
GRANT INSERT ON reconciliation.report, reconciliation.revision, reconciliation.line, reconciliation.awaited,
    reconciliation.break, reconciliation.repair TO refpay_app;
GRANT UPDATE (period_start, period_end, due, state, revision, digest, refused_digest, problem, changed_at)
    ON reconciliation.report TO refpay_app;
GRANT UPDATE (ended_at) ON reconciliation.awaited TO refpay_app;
GRANT UPDATE (sequence, operation_id, currency, value_minor, closed_at) ON reconciliation.break TO refpay_app;
