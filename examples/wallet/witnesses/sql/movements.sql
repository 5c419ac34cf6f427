-- What came from a bank is owed to the purse that it went to; what went to a bank, to the one that it came from.
SELECT movement.id AS entry_id, movement.kind, bank_order.bank AS provider, order_id::text AS provider_key,
       bank_order.reference AS merchant_reference, movement.request_key AS idempotency_key,
       bank_order.purse_id AS beneficiary, movement.currency, movement.booked_at AS posted_at, movement.amount,
       movement.from_account AS debit_account, movement.to_account AS credit_account
FROM movement LEFT JOIN bank_order ON bank_order.id = movement.order_id
