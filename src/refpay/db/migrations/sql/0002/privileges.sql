-- The only delete in the service: of published events, which a trigger holds it to.
GRANT USAGE ON SCHEMA outbox, messages TO refpay_app;
GRANT SELECT, INSERT, DELETE ON outbox.event TO refpay_app;
GRANT UPDATE (published_at) ON outbox.event TO refpay_app;
GRANT SELECT, INSERT ON messages.notification, messages.compliance_entry, messages.replay TO refpay_app;
GRANT SELECT ON messages.compliance_breaks TO refpay_app;
GRANT UPDATE (begun_at, up_to, found, finished_at) ON messages.replay TO refpay_app;
GRANT SELECT, INSERT ON messages.dead_letter_depth TO refpay_app;
GRANT UPDATE (depth, observed_at) ON messages.dead_letter_depth TO refpay_app;
