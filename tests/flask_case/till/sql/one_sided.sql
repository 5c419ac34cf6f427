SELECT sale.id AS subject, coalesce(sum(side.cents), sale.cents) AS amount_minor, 'EUR' AS currency, sold_at AS since
FROM sale LEFT JOIN side ON side.sale = sale.id
GROUP BY sale.id
HAVING count(side.sale) < 2 OR sum(side.cents) <> 0
