//! Merchants, credentials, people, sessions, reasons, and what [`super::shop`] has.

use requite_core::id::{KeyId, MerchantId, PaymentId, ReasonId, RefundId};

use super::{
    Result, Sql, SqlFault, Writer, blob, connector, corrupt, order, params, session, shop,
};
use crate::order::OrderRefund;
use crate::read::{
    CollectionSession, CollectionView, ConnectorView, KeptAnswer, Mark, MerchantView, PersonView,
    ReadFault, ReasonView, SessionView,
};
use crate::registry::{NewKey, Registry, RegistryFault};
use crate::store::RESTORED;

/// Writes beside the lane, on connections of its own.
pub struct SqlRegistry {
    writer: Writer,
}

impl SqlRegistry {
    pub(in crate::store) fn new(writer: Writer) -> SqlRegistry {
        SqlRegistry { writer }
    }

    /// Reads on the writer's connection: what is needed now and then, next to a write.
    pub(super) fn look<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T, ReadFault> {
        Ok(self.writer.look(read)?)
    }

    pub(super) fn write<T>(
        &self,
        taken: &str,
        write: impl Fn(Sql<'_>) -> Result<T>,
    ) -> Result<T, RegistryFault> {
        self.writer.transact(write).map_err(|fault| match fault {
            SqlFault::Unchanged => RegistryFault::Answered,
            SqlFault::Constraint(_) => RegistryFault::Taken(taken.to_owned()),
            fault => RegistryFault::Store(fault.to_string()),
        })
    }

    /// Does one server have the store for itself?
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.writer, Writer::Sqlite(_))
    }

    /// As [`SqlRegistry::write`], for a merchant that must be there.
    pub(super) fn write_for<T>(
        &self,
        merchant: MerchantId,
        taken: &str,
        write: impl Fn(Sql<'_>) -> Result<T>,
    ) -> Result<T, RegistryFault> {
        let sql = "-- has_merchant
            select 1 from merchant where merchant_id = ?1";
        let key = blob(merchant.bits());
        let done = self.write(taken, |connection| {
            let is_there = connection.exists(sql, params![key])?;
            if is_there { write(connection).map(Some) } else { Ok(None) }
        });
        done?.ok_or(RegistryFault::MerchantUnknown)
    }
}

fn put_reason(connection: Sql<'_>, merchant: MerchantId, reason: &ReasonView) -> Result<()> {
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
    connection.execute(sql, row)?;
    Ok(())
}

impl Registry for SqlRegistry {
    fn create_merchant(
        &self,
        merchant: &MerchantView,
        reasons: &[ReasonView],
    ) -> Result<(), RegistryFault> {
        self.write(&format!("the slug {}", merchant.slug), |connection| {
            let sql = "-- insert_merchant
                insert into merchant (merchant_id, slug, name, profile, created_at_ms)
                values (?1, ?2, ?3, ?4, ?5)";
            let MerchantView { id, slug, name, profile, created_at_ms } = merchant;
            connection
                .execute(sql, params![blob(id.bits()), slug, name, profile, created_at_ms])?;
            reasons.iter().try_for_each(|reason| put_reason(connection, *id, reason))
        })
    }

    fn create_key(&self, key: &NewKey, answer: Option<&KeptAnswer>) -> Result<(), RegistryFault> {
        self.write_for(key.merchant, "this credential", |connection| {
            shop::insert_key(connection, key)?;
            shop::keep(connection, key.merchant, answer)
        })
    }

    fn revoke_key(
        &self,
        merchant: MerchantId,
        key: KeyId,
        mark: &Mark,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault> {
        self.write("this credential", |connection| {
            let sql = "-- revoke_key
                update api_key set revoked_at_ms = ?3, revoked_by = ?4
                where merchant_id = ?1 and key_id = ?2 and revoked_at_ms is null";
            let row = params![blob(merchant.bits()), blob(key.bits()), mark.at_ms, mark.by];
            let is_done = connection.execute(sql, row)? == 1;
            shop::keep(connection, merchant, answer.filter(|_| is_done))?;
            Ok(is_done)
        })
    }

    fn create_person(&self, person: &PersonView) -> Result<(), RegistryFault> {
        self.write_for(
            person.merchant,
            &format!("the e-mail address {}", person.email),
            |connection| {
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
                connection.execute(sql, row).map(|_| ())
            },
        )
    }

    fn open_session(&self, session: &SessionView) -> Result<(), RegistryFault> {
        self.write_for(session.merchant, "this session", |connection| {
            session::open(connection, session)
        })
    }

    fn close_session(&self, lookup: &[u8; 32]) -> Result<(), RegistryFault> {
        self.write("this session", |connection| session::close(connection, lookup))
    }

    fn put_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.write_for(merchant, "this reason", |connection| {
            put_reason(connection, merchant, reason)?;
            shop::keep(connection, merchant, answer)
        })
    }

    fn delete_reason(
        &self,
        merchant: MerchantId,
        reason: ReasonId,
        at_ms: i64,
    ) -> Result<(), RegistryFault> {
        self.write("this reason", |connection| {
            let sql = "-- delete_reason
                update refund_reason set deleted_at_ms = ?3, updated_at_ms = ?3
                where merchant_id = ?1 and reason_id = ?2 and deleted_at_ms is null";
            let key = params![blob(merchant.bits()), blob(reason.bits()), at_ms];
            connection.execute(sql, key).map(|_| ())
        })
    }

    fn put_return_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.write_for(merchant, &format!("the value {}", reason.code), |connection| {
            order::put_return_reason(connection, merchant, reason)?;
            shop::keep(connection, merchant, answer)
        })
    }

    fn plan_order_refund(
        &self,
        refund: &OrderRefund,
        answer: Option<&KeptAnswer>,
        instead_of: Option<RefundId>,
    ) -> Result<(), RegistryFault> {
        self.write_for(refund.merchant, "this refund", |connection| {
            if let (Some(answer), Some(old)) = (answer, instead_of) {
                shop::give_up(connection, refund.merchant, answer, old.bits())?;
            }
            order::insert_refund(connection, refund)?;
            shop::keep(connection, refund.merchant, answer)
        })
    }

    fn create_collection(
        &self,
        merchant: MerchantId,
        collection: &CollectionView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        self.write_for(merchant, "this collection", |connection| {
            shop::insert_collection(connection, merchant, collection)?;
            shop::keep(connection, merchant, answer)
        })
    }

    fn keep_answer(&self, merchant: MerchantId, answer: &KeptAnswer) -> Result<(), RegistryFault> {
        self.write_for(merchant, "this answer", |connection| {
            shop::keep(connection, merchant, Some(answer))
        })
    }

    fn open_collection_session(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        session: &CollectionSession,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault> {
        self.write("this collection", |connection| {
            let is_done = shop::open_session(connection, (merchant, collection), session)?;
            shop::keep(connection, merchant, answer.filter(|_| is_done))?;
            Ok(is_done)
        })
    }

    fn mark_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        mark: &Mark,
    ) -> Result<Option<CollectionView>, RegistryFault> {
        self.write("this collection", |connection| {
            shop::mark(connection, (merchant, collection), mark)
        })
    }

    fn delete_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
    ) -> Result<bool, RegistryFault> {
        self.write("this collection", |connection| {
            shop::delete_collection(connection, (merchant, collection))
        })
    }

    fn create_connector(&self, account: &ConnectorView) -> Result<(), RegistryFault> {
        self.write_for(account.merchant, &format!("the name {:?}", account.name), |connection| {
            connector::insert(connection, account)
        })
    }

    fn reseal_connector(
        &self,
        merchant: MerchantId,
        account: u128,
        sealed: &[u8],
        at_ms: i64,
    ) -> Result<bool, RegistryFault> {
        self.write("this account", |connection| {
            connector::reseal(connection, (merchant, account), sealed, at_ms)
        })
    }

    fn keep_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, RegistryFault> {
        self.write("this secret", |connection| {
            let sql = "-- keep_secret
                insert into secret (name, secret) values (?1, ?2) on conflict do nothing";
            connection.execute(sql, params![name, secret])?;
            let sql = "-- secret
                select secret from secret where name = ?1";
            let kept = connection.find(sql, params![name], |row| row.get(0))?;
            kept.ok_or_else(|| corrupt("no secret where one was kept"))
        })
    }

    fn mark_restored(&self) -> Result<(), RegistryFault> {
        self.write("this mark", |connection| {
            let sql = "-- mark_restored
                insert into secret (name, secret) values (?1, ?2)
                on conflict (name) do update set secret = excluded.secret";
            let unserved = 0_i64.to_be_bytes().to_vec();
            connection.execute(sql, params![RESTORED, unserved])?;
            Ok(())
        })
    }

    fn restored_since(&self, now_ms: i64) -> Result<Option<i64>, RegistryFault> {
        self.write("this mark", |connection| {
            let sql = "-- restored
                select secret from secret where name = ?1";
            let kept: Option<Vec<u8>> =
                connection.find(sql, params![RESTORED], |row| row.get(0))?;
            let Some(kept) = kept else { return Ok(None) };
            let since = kept.try_into().map(i64::from_be_bytes);
            let since_ms = since.map_err(|_| corrupt("a restored store's mark is no time"))?;
            if since_ms != 0 {
                return Ok(Some(since_ms));
            }
            let sql = "-- serve_restored
                update secret set secret = ?2 where name = ?1";
            connection.execute(sql, params![RESTORED, now_ms.to_be_bytes().to_vec()])?;
            connection
                .execute("-- sweep_all\nupdate connector_sweep set next_at_ms = 0", params![])?;
            Ok(Some(now_ms))
        })
    }
}
