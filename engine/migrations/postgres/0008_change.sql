-- When what changed: a row more at every change, and none is taken away. One list for payments and for refunds: most
-- changes are of a refund, and a payment's too. A payment or refund names the time of its newest row; the others are
-- passed over.
create table change (
    merchant_id bytea not null,
    at_ms bigint not null,
    payment_id bytea not null,
    about bytea not null,                    -- a refund of the payment, or the payment
    primary key (merchant_id, at_ms, payment_id, about)
);
insert into change
select merchant_id, updated_at_ms, payment_id, refund_id from refund
union select merchant_id, updated_at_ms, payment_id, payment_id from payment_head
order by 1, 2, 3, 4;
drop table payment_change;
drop index refund_updated;
