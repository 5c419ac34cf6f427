GRANT USAGE ON SCHEMA risk TO refpay_app;
GRANT SELECT ON risk.small_authorization TO refpay_app;
GRANT SELECT, INSERT ON risk.card_range, risk.finding TO refpay_app;
GRANT UPDATE (blocked, changed_by, changed_at, reason) ON risk.card_range TO refpay_app;
