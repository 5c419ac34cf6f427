-- Who was charged under the same reference is looked up for each charge, also when the index that forbids it is gone.
CREATE INDEX payment_captured_reference ON payments.payment (merchant, merchant_reference) WHERE captured_minor > 0;
