-- The service may do what it does and nothing else. It deletes published events, nonces and old webhook events; triggers
-- hold it to that. It never updates history.
GRANT SELECT ON public.alembic_version TO refpay_app;
GRANT USAGE ON SCHEMA audit, identity, routing, payments, risk, ledger, outbox, messages, reconciliation TO refpay_app;

GRANT SELECT, INSERT ON audit.event TO refpay_app;

GRANT SELECT, INSERT, DELETE ON identity.nonce TO refpay_app;
GRANT SELECT, INSERT ON identity.approval TO refpay_app;
GRANT UPDATE (status, decided_by, decided_at, used_at) ON identity.approval TO refpay_app;

GRANT SELECT ON routing.provider TO refpay_app;
GRANT UPDATE (active, changed_by, changed_at, reason) ON routing.provider TO refpay_app;

GRANT SELECT, INSERT ON payments.payment, payments.operation, payments.idempotency_key, payments.payout,
    payments.webhook_event TO refpay_app;
GRANT UPDATE (status, captured_minor, refunded_minor, refund_reserved_minor, capture_reserved_minor, released_minor,
    charged_back_minor) ON payments.payment TO refpay_app;
GRANT UPDATE (status, provider_reference, decline_code, next_query_at, query_attempts, settled_at, settled_by,
    lease_until, call_deadline, settle_after) ON payments.operation TO refpay_app;
GRANT UPDATE (response_status, response_body, reaped_at) ON payments.idempotency_key TO refpay_app;
GRANT DELETE ON payments.webhook_event TO refpay_app;

GRANT SELECT ON risk.small_authorization TO refpay_app;
GRANT SELECT, INSERT ON risk.card_range, risk.finding TO refpay_app;
GRANT UPDATE (blocked, changed_by, changed_at, reason) ON risk.card_range TO refpay_app;

GRANT SELECT ON ledger.entry, ledger.line, ledger.posted, ledger.seal, ledger.balance, ledger.archive TO refpay_app;
-- Not `written_in`, which the database sets.
GRANT INSERT (id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    ON ledger.entry TO refpay_app;
REVOKE EXECUTE ON FUNCTION ledger.make_partitions, ledger.seal_entries, ledger.close_to_change FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.make_partitions, ledger.seal_entries TO refpay_app;

GRANT SELECT, INSERT, DELETE ON outbox.event TO refpay_app;
GRANT UPDATE (published_at) ON outbox.event TO refpay_app;

GRANT SELECT, INSERT ON messages.notification, messages.compliance_entry, messages.replay TO refpay_app;
GRANT SELECT ON messages.compliance_breaks TO refpay_app;
GRANT UPDATE (begun_at, up_to, found, finished_at) ON messages.replay TO refpay_app;
GRANT SELECT, INSERT ON messages.dead_letter_depth TO refpay_app;
GRANT UPDATE (depth, observed_at) ON messages.dead_letter_depth TO refpay_app;

GRANT SELECT ON ALL TABLES IN SCHEMA reconciliation TO refpay_app;
-- FOR UPDATE needs this privilege too: the row is the lock of its provider.
GRANT UPDATE (run_sequence, horizon, watermark, next_due) ON reconciliation.progress TO refpay_app;
GRANT INSERT ON reconciliation.report, reconciliation.revision, reconciliation.line, reconciliation.awaited,
    reconciliation.break, reconciliation.repair TO refpay_app;
GRANT UPDATE (period_start, period_end, due, state, revision, digest, refused_digest, problem, changed_at)
    ON reconciliation.report TO refpay_app;
GRANT UPDATE (ended_at) ON reconciliation.awaited TO refpay_app;
GRANT UPDATE (sequence, operation_id, currency, value_minor, closed_at) ON reconciliation.break TO refpay_app;

GRANT USAGE ON SCHEMA oracle TO refpay_oracle;
GRANT SELECT ON oracle.ledger_lines, oracle.unresolved_operations TO refpay_oracle;
