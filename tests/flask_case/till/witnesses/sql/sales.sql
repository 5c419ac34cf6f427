SELECT sale.id AS entry_id, 'sale' AS kind, 'drawer' AS provider, reference AS provider_key,
       reference AS merchant_reference, reference AS idempotency_key, 'shop' AS beneficiary, 'EUR' AS currency,
       sold_at AS posted_at, side.cents AS amount, account
FROM sale JOIN side ON side.sale = sale.id
WHERE NOT starts_with(reference, 'probe-')
