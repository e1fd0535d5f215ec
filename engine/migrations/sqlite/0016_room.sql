-- A payment's row keeps its length when its first refund comes: pages are full of such rows, and one that grows has to
-- be split, over three pages and more. So sixteen zero bytes hold the place of the newest refund of a payment that has none.

update book set newest_refund = zeroblob(16) where line = 0 and newest_refund is null;
drop view payment_head;
create view payment_head as
    select merchant_id, payment_id, seq, hash, calls, updated_at_ms,
        nullif(newest_refund, x'00000000000000000000000000000000') as newest_refund
    from book where line = 0;
