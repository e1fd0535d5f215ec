-- Lists of payments, newest first, also where ids do not tell the time.
create index payment_created on payment (merchant_id, created_at_ms, payment_id);
insert into sqlite_stat1 (tbl, idx, stat) values
    ('payment', 'payment_created', '1000000 100000 1 1');
analyze sqlite_schema;
