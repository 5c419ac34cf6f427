-- The service may do what it does and nothing else: no deletes anywhere, no updates of history.
GRANT USAGE ON SCHEMA payments, ledger, routing, audit TO refpay_app;
GRANT SELECT, INSERT ON payments.payment, payments.operation, payments.idempotency_key TO refpay_app;
GRANT UPDATE (status, captured_minor, refunded_minor, refund_reserved_minor) ON payments.payment TO refpay_app;
GRANT UPDATE (status, provider_reference, decline_code, next_query_at, query_attempts, settled_at, settled_by)
    ON payments.operation TO refpay_app;
GRANT UPDATE (response_status, response_body) ON payments.idempotency_key TO refpay_app;
GRANT SELECT, INSERT ON ledger.entry, ledger.line, audit.event TO refpay_app;
GRANT SELECT ON routing.provider TO refpay_app;
GRANT UPDATE (active, changed_by, changed_at, reason) ON routing.provider TO refpay_app;
GRANT SELECT ON public.alembic_version TO refpay_app;

GRANT USAGE ON SCHEMA oracle TO refpay_oracle;
GRANT SELECT ON oracle.ledger_lines, oracle.unresolved_operations TO refpay_oracle;
