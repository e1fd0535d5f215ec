-- One public key may be registered with several merchants: whoever signs names the merchant meant.
alter table key_lookup rename to key_lookup_of_one;

create table key_lookup (
    lookup blob not null check (length(lookup) = 32),
    merchant_id blob not null,
    key_id blob not null,
    primary key (lookup, merchant_id)
) strict, without rowid;

insert into key_lookup (lookup, merchant_id, key_id)
    select lookup, merchant_id, key_id from key_lookup_of_one;

drop table key_lookup_of_one;

delete from sqlite_stat1 where tbl in ('key_lookup', 'key_lookup_of_one');
insert into sqlite_stat1 (tbl, idx, stat) values ('key_lookup', 'key_lookup', '100 1 1');
analyze sqlite_schema;
