-- What was sent to one merchant within a day is summed before each payout to it.
CREATE INDEX operation_payout_sent ON payments.operation (principal, call_deadline) WHERE kind = 'payout';
