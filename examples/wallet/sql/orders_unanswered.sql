-- Orders that no bank has answered, and the worker could not resolve, for two minutes.
SELECT id AS subject, amount AS amount_minor, currency, placed_at AS since
FROM bank_order
WHERE state = 'SENT' AND placed_at < now() - interval '2 minutes'
