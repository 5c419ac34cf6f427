GRANT UPDATE (capture_reserved_minor, released_minor, charged_back_minor) ON payments.payment TO refpay_app;
GRANT UPDATE (lease_until, call_deadline, settle_after) ON payments.operation TO refpay_app;
GRANT UPDATE (reaped_at) ON payments.idempotency_key TO refpay_app;
GRANT SELECT, INSERT ON payments.payout, payments.webhook_event TO refpay_app;
GRANT DELETE ON payments.webhook_event TO refpay_app;
