-- A merchant's payments, newest first: an id begins with the millisecond of its payment.
CREATE INDEX payment_of_merchant ON payments.payment (merchant, id DESC);
-- Those that `payment_live_reference` leaves out, so that a reference finds every attempt.
CREATE INDEX payment_ended_reference ON payments.payment (merchant, merchant_reference)
    WHERE status IN ('declined', 'failed');
