//! Payment collections, keys and kept answers: the statements that reads and registry share.

use requite_core::id::{KeyId, MerchantId, PaymentId};

use super::book::{currency, minor};
use super::{Result, Row, Sql, SqlFault, blob, id, params};
use crate::key::KEY_LIFE_MS;
use crate::read::{CollectionSession, CollectionView, KeptAnswer, KeyNote, KeyView, Mark};
use crate::registry::NewKey;

/// Names a collection: whose, and which.
type Named = (MerchantId, PaymentId);

fn named((merchant, collection): Named) -> ([u8; 16], [u8; 16]) {
    (blob(merchant.bits()), blob(collection.bits()))
}

pub(super) fn insert_key(connection: Sql<'_>, key: &NewKey) -> Result<()> {
    let sql = "-- insert_key
        insert into api_key (merchant_id, key_id, face, scopes, public_key, created_at_ms, kind,
            title, redacted, created_by)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let (merchant, id) = (blob(key.merchant.bits()), blob(key.id.bits()));
    let scopes = key.scopes.as_ref().map(|scopes| scopes.join(" "));
    let KeyNote { is_publishable, title, redacted, created_by } = &key.about;
    let kind = if *is_publishable { "publishable" } else { "secret" };
    let row = params![
        merchant,
        id,
        key.face,
        scopes,
        key.public_key,
        key.at_ms,
        kind,
        title,
        redacted,
        created_by,
    ];
    connection.execute(sql, row)?;
    for lookup in &key.lookups {
        let sql = "-- insert_key_lookup
            insert into key_lookup (lookup, merchant_id, key_id) values (?1, ?2, ?3)";
        connection.execute(sql, params![lookup, merchant, id])?;
    }
    Ok(())
}

/// Reads the columns of `key_view` and `key_named`.
pub(super) fn key_view(row: &Row<'_>) -> Result<KeyView> {
    let scopes: Option<String> = row.get(3)?;
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
    Ok(KeyView {
        id: KeyId::new(id(row, 0)?),
        merchant: MerchantId::new(id(row, 1)?),
        face: row.get(2)?,
        scopes: scopes.map(words),
        public_key: row.get(4)?,
        about: KeyNote {
            is_publishable: row.get(5)?,
            title: row.get(6)?,
            redacted: row.get(7)?,
            created_by: row.get(8)?,
        },
        created_at_ms: row.get(9)?,
        revoked_at_ms: row.get(10)?,
        revoked_by: row.get(11)?,
    })
}

/// Frees a key from the answer about `subject`, so that it can be kept anew in the same transaction.
/// [`SqlFault::Unchanged`]: it stands for another one already.
pub(super) fn give_up(
    connection: Sql<'_>,
    merchant: MerchantId,
    answer: &KeptAnswer,
    subject: u128,
) -> Result<()> {
    let sql = "-- give_up_answer
        delete from kept_answer where merchant_id = ?1 and key_hash = ?2 and subject = ?3";
    let key = params![blob(merchant.bits()), answer.key_hash, blob(subject)];
    match connection.execute(sql, key)? {
        0 => Err(SqlFault::Unchanged),
        _ => Ok(()),
    }
}

/// Keeps an answer, if there is one to keep. [`SqlFault::Unchanged`], which undoes the whole
/// transaction: the key has an answer that is not too old to count.
pub(super) fn keep(
    connection: Sql<'_>,
    merchant: MerchantId,
    answer: Option<&KeptAnswer>,
) -> Result<()> {
    let Some(answer) = answer else {
        return Ok(());
    };
    let sql = "-- keep_answer
        insert into kept_answer (merchant_id, key_hash, fingerprint, subject, body, at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6)
        on conflict (merchant_id, key_hash) do update set fingerprint = excluded.fingerprint,
            subject = excluded.subject, body = excluded.body, at_ms = excluded.at_ms
        where kept_answer.at_ms <= ?7";
    let row = params![
        blob(merchant.bits()),
        answer.key_hash,
        answer.fingerprint,
        blob(answer.subject),
        answer.body,
        answer.at_ms,
        answer.at_ms.saturating_sub(KEY_LIFE_MS),
    ];
    match connection.execute(sql, row)? {
        0 => Err(SqlFault::Unchanged),
        _ => Ok(()),
    }
}

pub(super) fn kept_answer(
    connection: Sql<'_>,
    merchant: MerchantId,
    key_hash: &[u8; 16],
    now_ms: i64,
) -> Result<Option<KeptAnswer>> {
    let sql = "-- kept_answer
        select fingerprint, subject, body, at_ms from kept_answer
        where merchant_id = ?1 and key_hash = ?2 and at_ms > ?3";
    let key = params![blob(merchant.bits()), key_hash, now_ms.saturating_sub(KEY_LIFE_MS)];
    let answer = |row: &Row<'_>| {
        Ok(KeptAnswer {
            key_hash: *key_hash,
            fingerprint: row.get(0)?,
            subject: id(row, 1)?,
            body: row.get(2)?,
            at_ms: row.get(3)?,
        })
    };
    connection.find(sql, key, answer)
}

pub(super) fn insert_collection(
    connection: Sql<'_>,
    merchant: MerchantId,
    collection: &CollectionView,
) -> Result<()> {
    let sql = "-- insert_collection
        insert into payment_collection (merchant_id, collection_id, order_ref, currency, exponent,
            amount_minor, provider, session_at_ms, created_at_ms, updated_at_ms, marked_at_ms,
            marked_by)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let row = params![
        blob(merchant.bits()),
        blob(collection.id.bits()),
        collection.order,
        collection.currency.code(),
        collection.currency.exponent(),
        collection.amount.units(),
        collection.session.as_ref().map(|session| &session.provider),
        collection.session.as_ref().map(|session| session.at_ms),
        collection.created_at_ms,
        collection.updated_at_ms,
        collection.mark.as_ref().map(|mark| mark.at_ms),
        collection.mark.as_ref().map(|mark| &mark.by),
    ];
    connection.execute(sql, row).map(|_| ())
}

pub(super) fn collection(connection: Sql<'_>, of: Named) -> Result<Option<CollectionView>> {
    let sql = "-- collection
        select collection_id, order_ref, currency, exponent, amount_minor, provider,
            session_at_ms, created_at_ms, updated_at_ms, marked_at_ms, marked_by
        from payment_collection where merchant_id = ?1 and collection_id = ?2";
    let (merchant, collection) = named(of);
    let view = |row: &Row<'_>| {
        let (provider, session_at_ms): (Option<String>, Option<i64>) = (row.get(5)?, row.get(6)?);
        let (marked_at_ms, by): (Option<i64>, Option<String>) = (row.get(9)?, row.get(10)?);
        Ok(CollectionView {
            id: PaymentId::new(id(row, 0)?),
            order: row.get(1)?,
            currency: currency(row, 2, 3)?,
            amount: minor(row, 4)?,
            session: provider
                .zip(session_at_ms)
                .map(|(provider, at_ms)| CollectionSession { provider, at_ms }),
            created_at_ms: row.get(7)?,
            updated_at_ms: row.get(8)?,
            mark: marked_at_ms.zip(by).map(|(at_ms, by)| Mark { by, at_ms }),
        })
    };
    connection.find(sql, params![merchant, collection], view)
}

pub(super) fn open_session(
    connection: Sql<'_>,
    of: Named,
    session: &CollectionSession,
) -> Result<bool> {
    let sql = "-- open_collection_session
        update payment_collection set provider = ?3, session_at_ms = ?4, updated_at_ms = ?4
        where merchant_id = ?1 and collection_id = ?2 and marked_at_ms is null
            and not exists (select 1 from payment where merchant_id = ?1 and payment_id = ?2)";
    let (merchant, collection) = named(of);
    let row = params![merchant, collection, session.provider, session.at_ms];
    Ok(connection.execute(sql, row)? == 1)
}

/// The collection with the mark that stands.
pub(super) fn mark(connection: Sql<'_>, of: Named, mark: &Mark) -> Result<Option<CollectionView>> {
    let sql = "-- mark_collection
        update payment_collection set marked_at_ms = ?3, marked_by = ?4, updated_at_ms = ?3
        where merchant_id = ?1 and collection_id = ?2 and marked_at_ms is null";
    let (merchant, id) = named(of);
    connection.execute(sql, params![merchant, id, mark.at_ms, mark.by])?;
    collection(connection, of)
}

pub(super) fn delete_collection(connection: Sql<'_>, of: Named) -> Result<bool> {
    let sql = "-- delete_collection
        delete from payment_collection
        where merchant_id = ?1 and collection_id = ?2 and marked_at_ms is null
            and not exists (select 1 from payment where merchant_id = ?1 and payment_id = ?2)";
    let (merchant, collection) = named(of);
    Ok(connection.execute(sql, params![merchant, collection])? == 1)
}

pub(super) fn order_currency(
    connection: Sql<'_>,
    merchant: MerchantId,
    order: &str,
) -> Result<Option<requite_core::currency::Currency>> {
    let sql = "-- order_currency
        select currency, exponent from payment where merchant_id = ?1 and order_ref = ?2
        order by payment_id limit 1";
    let key = params![blob(merchant.bits()), order];
    connection.find(sql, key, |row| currency(row, 0, 1))
}
