-- What is asked before a payout is begun: whether its merchant's reference is taken.
CREATE INDEX payout_reference ON payments.payout (merchant, merchant_reference);
