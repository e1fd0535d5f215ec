-- Paid payments of 1,000.00 each, at the provider that moves no money.
insert into payment (id, amount, currency_code, provider_id, data, captured_at)
select 'pay_' || n, 100000, 'eur', 'system', '{}', now() from generate_series(1, 2000) n;
