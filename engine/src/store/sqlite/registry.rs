//! Merchants, credentials, people, sessions, reasons, and what [`super::shop`] has.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use requite_core::id::{KeyId, MerchantId, PaymentId, ReasonId, RefundId};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Open, OpenFault, Sqlite, blob, connector, order, session, shop};
use crate::order::OrderRefund;
use crate::read::{
    CollectionSession, CollectionView, ConnectorView, KeptAnswer, Mark, MerchantView, PersonView,
    ReadFault, ReasonView, SessionView,
};
use crate::registry::{NewKey, Registry, RegistryFault};

/// Writes on a connection of its own; SQLite orders its transactions with the lane's.
pub struct SqliteRegistry {
    connection: Mutex<Connection>,
}

impl SqliteRegistry {
    /// Opens the file as [`Sqlite::open`] does.
    pub fn open(path: &Path, open: Open) -> Result<SqliteRegistry, OpenFault> {
        let Sqlite { connection } = Sqlite::open(path, open)?;
        Ok(SqliteRegistry { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between begin and commit rolled back; the connection is as good as before.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads on the writer's connection: what is needed now and then, next to a write.
    pub(super) fn look<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadFault> {
        read(&self.connection()).map_err(|cause| ReadFault(cause.to_string()))
    }

    pub(super) fn write<T>(
        &self,
        taken: &str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryFault> {
        let mut connection = self.connection();
        let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(
            |transaction| {
                let value = write(&transaction)?;
                transaction.commit()?;
                Ok(value)
            },
        );
        done.map_err(|cause| match cause.sqlite_error_code() {
            _ if shop::is_answered(&cause) => RegistryFault::Answered,
            Some(rusqlite::ErrorCode::ConstraintViolation) => {
                RegistryFault::Taken(taken.to_owned())
            }
            _ => RegistryFault::Store(cause.to_string()),
        })
    }

    fn check_merchant(&self, merchant: MerchantId) -> Result<(), RegistryFault> {
        let sql = "-- has_merchant
            select 1 from merchant where merchant_id = ?1";
        let connection = self.connection();
        let found = connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.exists(params![blob(merchant.bits())]));
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(RegistryFault::MerchantUnknown),
            Err(cause) => Err(RegistryFault::Store(cause.to_string())),
        }
    }
}

fn put_reason(
    transaction: &Transaction<'_>,
    merchant: MerchantId,
    reason: &ReasonView,
) -> rusqlite::Result<()> {
    let sql = "-- put_reason
        insert into refund_reason (merchant_id, reason_id, code, label, description,
            created_at_ms, updated_at_ms, deleted_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        on conflict (merchant_id, reason_id) do update set code = excluded.code,
            label = excluded.label, description = excluded.description,
            updated_at_ms = excluded.updated_at_ms, deleted_at_ms = excluded.deleted_at_ms";
    let row = params![
        blob(merchant.bits()),
        blob(reason.id.bits()),
        reason.code,
        reason.label,
        reason.description,
        reason.created_at_ms,
        reason.updated_at_ms,
        reason.deleted_at_ms,
    ];
    transaction.execute(sql, row)?;
    Ok(())
}

impl Registry for SqliteRegistry {
    fn create_merchant(
        &self,
        merchant: &MerchantView,
        reasons: &[ReasonView],
    ) -> Result<(), RegistryFault> {
        self.write(&format!("the slug {}", merchant.slug), |transaction| {
            let sql = "-- insert_merchant
                insert into merchant (merchant_id, slug, name, profile, created_at_ms)
                values (?1, ?2, ?3, ?4, ?5)";
            let MerchantView { id, slug, name, profile, created_at_ms } = merchant;
            transaction
                .execute(sql, params![blob(id.bits()), slug, name, profile, created_at_ms])?;
            reasons.iter().try_for_each(|reason| put_reason(transaction, *id, reason))
        })
    }

    fn create_key(&self, key: &NewKey, answer: Option<&KeptAnswer>) -> Result<(), RegistryFault> {
        self.check_merchant(key.merchant)?;
        self.write("this credential", |transaction| {
            shop::insert_key(transaction, key)?;
            shop::keep(transaction, key.merchant, answer)
        })
    }

    fn revoke_key(
        &self,
        merchant: MerchantId,
        key: KeyId,
        mark: &Mark,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault> {
        self.write("this credential", |transaction| {
            let sql = "-- revoke_key
                update api_key set revoked_at_ms = ?3, revoked_by = ?4
                where merchant_id = ?1 and key_id = ?2 and revoked_at_ms is null";
            let row = params![blob(merchant.bits()), blob(key.bits()), mark.at_ms, mark.by];
            let is_done = transaction.execute(sql, row)? == 1;
            shop::keep(transaction, merchant, answer.filter(|_| is_done))?;
            Ok(is_done)
        })
    }

    fn create_person(&self, person: &PersonView) -> Result<(), RegistryFault> {
        self.check_merchant(person.merchant)?;
        self.write(&format!("the e-mail address {}", person.email), |transaction| {
            let sql = "-- insert_person
                insert into person (merchant_id, person_id, email, password_hash, created_at_ms,
                    updated_at_ms)
                values (?1, ?2, ?3, ?4, ?5, ?6)";
            let row = params![
                blob(person.merchant.bits()),
                blob(person.id.bits()),
                person.email,
                person.password_hash,
                person.created_at_ms,
                person.updated_at_ms,
            ];
            transaction.execute(sql, row).map(|_| ())
        })
    }

    fn open_session(&self, session: &SessionView) -> Result<(), RegistryFault> {
        self.check_merchant(session.merchant)?;
        self.write("this session", |transaction| session::open(transaction, session))
    }

    fn close_session(&self, lookup: &[u8; 32]) -> Result<(), RegistryFault> {
        self.write("this session", |transaction| session::close(transaction, lookup))
    }

    fn put_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.check_merchant(merchant)?;
        self.write("this reason", |transaction| {
            put_reason(transaction, merchant, reason)?;
            shop::keep(transaction, merchant, answer)
        })
    }

    fn delete_reason(
        &self,
        merchant: MerchantId,
        reason: ReasonId,
        at_ms: i64,
    ) -> Result<(), RegistryFault> {
        self.write("this reason", |transaction| {
            let sql = "-- delete_reason
                update refund_reason set deleted_at_ms = ?3, updated_at_ms = ?3
                where merchant_id = ?1 and reason_id = ?2 and deleted_at_ms is null";
            let key = params![blob(merchant.bits()), blob(reason.bits()), at_ms];
            transaction.execute(sql, key).map(|_| ())
        })
    }

    fn put_return_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.check_merchant(merchant)?;
        self.write(&format!("the value {}", reason.code), |transaction| {
            order::put_return_reason(transaction, merchant, reason)?;
            shop::keep(transaction, merchant, answer)
        })
    }

    fn plan_order_refund(
        &self,
        refund: &OrderRefund,
        answer: Option<&KeptAnswer>,
        instead_of: Option<RefundId>,
    ) -> Result<(), RegistryFault> {
        self.check_merchant(refund.merchant)?;
        self.write("this refund", |transaction| {
            if let (Some(answer), Some(old)) = (answer, instead_of) {
                shop::give_up(transaction, refund.merchant, answer, old.bits())?;
            }
            order::insert_refund(transaction, refund)?;
            shop::keep(transaction, refund.merchant, answer)
        })
    }

    fn create_collection(
        &self,
        merchant: MerchantId,
        collection: &CollectionView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.check_merchant(merchant)?;
        self.write("this collection", |transaction| {
            shop::insert_collection(transaction, merchant, collection)?;
            shop::keep(transaction, merchant, answer)
        })
    }

    fn keep_answer(&self, merchant: MerchantId, answer: &KeptAnswer) -> Result<(), RegistryFault> {
        self.check_merchant(merchant)?;
        self.write("this answer", |transaction| shop::keep(transaction, merchant, Some(answer)))
    }

    fn open_collection_session(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        session: &CollectionSession,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault> {
        self.write("this collection", |transaction| {
            let is_done = shop::open_session(transaction, (merchant, collection), session)?;
            shop::keep(transaction, merchant, answer.filter(|_| is_done))?;
            Ok(is_done)
        })
    }

    fn mark_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        mark: &Mark,
    ) -> Result<Option<CollectionView>, RegistryFault> {
        self.write("this collection", |transaction| {
            shop::mark(transaction, (merchant, collection), mark)
        })
    }

    fn delete_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
    ) -> Result<bool, RegistryFault> {
        self.write("this collection", |transaction| {
            shop::delete_collection(transaction, (merchant, collection))
        })
    }

    fn create_connector(&self, account: &ConnectorView) -> Result<(), RegistryFault> {
        self.check_merchant(account.merchant)?;
        self.write(&format!("the name {:?}", account.name), |transaction| {
            connector::insert(transaction, account)
        })
    }

    fn reseal_connector(
        &self,
        merchant: MerchantId,
        account: u128,
        sealed: &[u8],
        at_ms: i64,
    ) -> Result<bool, RegistryFault> {
        self.write("this account", |transaction| {
            connector::reseal(transaction, (merchant, account), sealed, at_ms)
        })
    }

    fn keep_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, RegistryFault> {
        self.write("this secret", |transaction| {
            let sql = "-- keep_secret
                insert into secret (name, secret) values (?1, ?2) on conflict do nothing";
            transaction.execute(sql, params![name, secret])?;
            let sql = "-- secret
                select secret from secret where name = ?1";
            transaction.query_row(sql, params![name], |row| row.get(0))
        })
    }
}
