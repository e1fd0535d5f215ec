//! Views, read on connections of their own: they see what is committed and never wait for the lane.

mod history;
mod lists;
mod payment;

use requite_core::currency::Currency;
use requite_core::id::{KeyId, LegId, MerchantId, PaymentId, PersonId, ReasonId, RefundId};
use requite_core::payment::LegKind;

use self::payment::{payment_view, payment_views};
use super::book::{currency, fault_of, minor, status};
use super::{
    Readers, Result, Row, Sql, blob, connector, id, maybe_id, order, outbox, params, session, shop,
};
use crate::command::RefundRef;
use crate::order::OrderRefund;
use crate::outbox::{Backlog, Delivery, EndpointView};
use crate::read::{
    CollectionView, ConnectorView, EventView, HistoryPage, Journal, KeptAnswer, KeyView,
    MerchantView, PAGE_MAX, PaymentFilter, PaymentView, PersonView, ReadFault, Reads, ReasonView,
    RefundFilter, RefundOfPayment, RefundView, SessionView,
};

/// Reads of a store, whatever database it is in.
pub struct SqlReads {
    readers: Readers,
}

impl SqlReads {
    pub(in crate::store) fn new(readers: Readers) -> SqlReads {
        SqlReads { readers }
    }

    /// Runs `read` in one snapshot.
    fn snapshot<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T, ReadFault> {
        Ok(self.readers.snapshot(read)?)
    }

    /// Runs `read`, which is one statement.
    fn look<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T, ReadFault> {
        Ok(self.readers.look(read)?)
    }
}

impl Reads for SqlReads {
    fn is_near(&self) -> bool {
        self.readers.is_near()
    }

    fn payment(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        as_of: Option<u32>,
    ) -> Result<Option<PaymentView>, ReadFault> {
        self.snapshot(|connection| payment_view(connection, merchant, payment, as_of))
    }

    fn payments_as_told(
        &self,
        merchant: MerchantId,
        payments: &[PaymentId],
    ) -> Result<Vec<PaymentView>, ReadFault> {
        self.snapshot(|connection| payment_views(connection, merchant, payments, Some(u32::MAX)))
    }

    fn refund(
        &self,
        merchant: MerchantId,
        refund: RefundId,
    ) -> Result<Option<RefundView>, ReadFault> {
        let sql = format!(
            "-- refund_view
            {REFUND_COLUMNS} from refund r {REFUND_JOINS}
            where r.merchant_id = ?1 and r.refund_id = ?2"
        );
        self.look(|connection| {
            let key = params![blob(merchant.bits()), blob(refund.bits())];
            connection.find(&sql, key, |row| refund_view(merchant, row))
        })
    }

    fn refund_as_of(
        &self,
        of: RefundRef,
        as_of: Option<u32>,
    ) -> Result<Option<RefundOfPayment>, ReadFault> {
        self.snapshot(|connection| payment::refund_as_of(connection, of, as_of))
    }

    fn has_payment(&self, merchant: MerchantId, payment: PaymentId) -> Result<bool, ReadFault> {
        let sql = "-- has_payment
            select 1 from payment where merchant_id = ?1 and payment_id = ?2";
        self.snapshot(|connection| {
            connection.exists(sql, params![blob(merchant.bits()), blob(payment.bits())])
        })
    }

    fn payment_named(
        &self,
        merchant: MerchantId,
        text: &str,
    ) -> Result<Option<PaymentId>, ReadFault> {
        let sql = "-- payment_named
            select payment_id from alias where merchant_id = ?1 and alias = ?2 limit 2";
        self.look(|connection| {
            let key = params![blob(merchant.bits()), text];
            let rows = connection.query(sql, key, |row| id(row, 0))?;
            let only = if rows.len() == 1 { rows.first() } else { None };
            Ok(only.map(|&bits| PaymentId::new(bits)))
        })
    }

    fn payments(
        &self,
        merchant: MerchantId,
        filter: &PaymentFilter,
    ) -> Result<Vec<PaymentView>, ReadFault> {
        self.snapshot(|connection| {
            let ids = lists::payment_ids(connection, merchant, filter)?;
            payment_views(connection, merchant, &ids, None)
        })
    }

    fn count_payments(
        &self,
        merchant: MerchantId,
        filter: &PaymentFilter,
    ) -> Result<u64, ReadFault> {
        self.look(|connection| lists::payment_count(connection, merchant, filter))
    }

    fn refunds(
        &self,
        merchant: MerchantId,
        filter: &RefundFilter,
    ) -> Result<Vec<RefundView>, ReadFault> {
        self.look(|connection| lists::refunds(connection, merchant, filter))
    }

    fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        page: &HistoryPage,
    ) -> Result<Vec<EventView>, ReadFault> {
        self.look(|connection| history::events(connection, merchant, payment, page))
    }

    fn journal(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        page: &HistoryPage,
    ) -> Result<Journal, ReadFault> {
        self.snapshot(|connection| history::journal(connection, merchant, payment, page))
    }

    fn merchant(&self, merchant: MerchantId) -> Result<Option<MerchantView>, ReadFault> {
        let sql = "-- merchant
            select merchant_id, slug, name, profile, created_at_ms from merchant
            where merchant_id = ?1";
        self.look(|connection| connection.find(sql, params![blob(merchant.bits())], merchant_view))
    }

    fn merchants(&self) -> Result<Vec<MerchantView>, ReadFault> {
        let sql = "-- merchants
            select merchant_id, slug, name, profile, created_at_ms from merchant
            order by created_at_ms, merchant_id";
        self.look(|connection| connection.query(sql, &[], merchant_view))
    }

    fn key(&self, lookup: &[u8; 32]) -> Result<Option<KeyView>, ReadFault> {
        let sql = "-- key_view
            select k.key_id, k.merchant_id, k.face, k.scopes, k.public_key,
                k.kind = 'publishable', k.title, k.redacted, k.created_by, k.created_at_ms,
                k.revoked_at_ms, k.revoked_by
            from key_lookup l join api_key k using (merchant_id, key_id) where l.lookup = ?1";
        self.look(|connection| connection.find(sql, params![lookup], shop::key_view))
    }

    fn keys(&self, lookup: &[u8; 32]) -> Result<Vec<KeyView>, ReadFault> {
        let sql = "-- key_views
            select k.key_id, k.merchant_id, k.face, k.scopes, k.public_key,
                k.kind = 'publishable', k.title, k.redacted, k.created_by, k.created_at_ms,
                k.revoked_at_ms, k.revoked_by
            from key_lookup l join api_key k using (merchant_id, key_id) where l.lookup = ?1
            order by l.merchant_id limit ?2";
        self.look(|connection| connection.query(sql, params![lookup, PAGE_MAX], shop::key_view))
    }

    fn key_named(&self, merchant: MerchantId, key: KeyId) -> Result<Option<KeyView>, ReadFault> {
        let sql = "-- key_named
            select k.key_id, k.merchant_id, k.face, k.scopes, k.public_key,
                k.kind = 'publishable', k.title, k.redacted, k.created_by, k.created_at_ms,
                k.revoked_at_ms, k.revoked_by
            from api_key k where k.merchant_id = ?1 and k.key_id = ?2";
        self.look(|connection| {
            let key = params![blob(merchant.bits()), blob(key.bits())];
            connection.find(sql, key, shop::key_view)
        })
    }

    fn person(
        &self,
        merchant: MerchantId,
        person: PersonId,
    ) -> Result<Option<PersonView>, ReadFault> {
        let sql = "-- person
            select person_id, merchant_id, email, password_hash, created_at_ms, updated_at_ms
            from person where merchant_id = ?1 and person_id = ?2";
        self.look(|connection| {
            let key = params![blob(merchant.bits()), blob(person.bits())];
            connection.find(sql, key, person_view)
        })
    }

    fn people(&self, email: &str) -> Result<Vec<PersonView>, ReadFault> {
        let sql = "-- people
            select person_id, merchant_id, email, password_hash, created_at_ms, updated_at_ms
            from person where email = ?1 order by created_at_ms limit 16";
        self.look(|connection| connection.query(sql, params![email], person_view))
    }

    fn connector(
        &self,
        merchant: MerchantId,
        name: &str,
    ) -> Result<Option<ConnectorView>, ReadFault> {
        self.look(|connection| connector::named(connection, merchant, name))
    }

    fn connectors(&self) -> Result<Vec<ConnectorView>, ReadFault> {
        self.look(connector::all)
    }

    fn endpoints(&self, merchant: MerchantId) -> Result<Vec<EndpointView>, ReadFault> {
        self.snapshot(|connection| outbox::endpoints(connection, merchant))
    }

    fn endpoints_due(&self, now_ms: i64) -> Result<Vec<EndpointView>, ReadFault> {
        self.snapshot(|connection| outbox::endpoints_due(connection, now_ms))
    }

    fn deliveries_due(
        &self,
        endpoint: u128,
        now_ms: i64,
        max: u32,
    ) -> Result<Vec<Delivery>, ReadFault> {
        self.snapshot(|connection| outbox::deliveries_due(connection, endpoint, now_ms, max))
    }

    fn backlog(&self, endpoint: u128) -> Result<Backlog, ReadFault> {
        self.snapshot(|connection| outbox::backlog(connection, endpoint))
    }

    fn session(&self, lookup: &[u8; 32]) -> Result<Option<SessionView>, ReadFault> {
        self.look(|connection| session::find(connection, lookup))
    }

    fn reasons(&self, merchant: MerchantId) -> Result<Vec<ReasonView>, ReadFault> {
        let sql = "-- reasons
            select reason_id, code, label, description, created_at_ms, updated_at_ms,
                deleted_at_ms
            from refund_reason where merchant_id = ?1 and deleted_at_ms is null
            order by reason_id";
        self.look(|connection| {
            connection.query(sql, params![blob(merchant.bits())], |row| reason_view(row, 0))
        })
    }

    fn reason(
        &self,
        merchant: MerchantId,
        reason: ReasonId,
    ) -> Result<Option<ReasonView>, ReadFault> {
        let sql = "-- reason
            select reason_id, code, label, description, created_at_ms, updated_at_ms,
                deleted_at_ms
            from refund_reason
            where merchant_id = ?1 and reason_id = ?2 and deleted_at_ms is null";
        self.look(|connection| {
            let key = params![blob(merchant.bits()), blob(reason.bits())];
            connection.find(sql, key, |row| reason_view(row, 0))
        })
    }

    fn payments_of_order(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Vec<PaymentView>, ReadFault> {
        self.snapshot(|connection| {
            let ids = order::payment_ids(connection, merchant, order)?;
            payment_views(connection, merchant, &ids, None)
        })
    }

    fn order_refund(
        &self,
        merchant: MerchantId,
        refund: RefundId,
    ) -> Result<Option<OrderRefund>, ReadFault> {
        self.snapshot(|connection| order::refund(connection, merchant, refund))
    }

    fn order_refunds(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Vec<OrderRefund>, ReadFault> {
        self.snapshot(|connection| order::refunds(connection, merchant, order))
    }

    fn return_reasons(
        &self,
        merchant: MerchantId,
        only: Option<ReasonId>,
    ) -> Result<Vec<ReasonView>, ReadFault> {
        self.look(|connection| order::return_reasons(connection, merchant, only))
    }

    fn collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
    ) -> Result<Option<CollectionView>, ReadFault> {
        self.look(|connection| shop::collection(connection, (merchant, collection)))
    }

    fn order_currency(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Option<Currency>, ReadFault> {
        self.look(|connection| shop::order_currency(connection, merchant, order))
    }

    fn kept_answer(
        &self,
        merchant: MerchantId,
        key_hash: &[u8; 16],
        now_ms: i64,
    ) -> Result<Option<KeptAnswer>, ReadFault> {
        self.look(|connection| shop::kept_answer(connection, merchant, key_hash, now_ms))
    }

    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, ReadFault> {
        let sql = "-- read_secret
            select secret from secret where name = ?1";
        self.look(|connection| connection.find(sql, params![name], |row| row.get(0)))
    }
}

/// How rows behind a page compare with its last, and their order.
fn direction(newest_first: bool) -> (&'static str, &'static str) {
    if newest_first { ("<", "desc") } else { (">", "asc") }
}

fn merchant_view(row: &Row<'_>) -> Result<MerchantView> {
    Ok(MerchantView {
        id: MerchantId::new(id(row, 0)?),
        slug: row.get(1)?,
        name: row.get(2)?,
        profile: row.get(3)?,
        created_at_ms: row.get(4)?,
    })
}

fn person_view(row: &Row<'_>) -> Result<PersonView> {
    Ok(PersonView {
        id: PersonId::new(id(row, 0)?),
        merchant: MerchantId::new(id(row, 1)?),
        email: row.get(2)?,
        password_hash: row.get(3)?,
        created_at_ms: row.get(4)?,
        updated_at_ms: row.get(5)?,
    })
}

pub(super) fn reason_view(row: &Row<'_>, first: usize) -> Result<ReasonView> {
    let at = |offset: usize| first.saturating_add(offset);
    Ok(ReasonView {
        id: ReasonId::new(id(row, at(0))?),
        code: row.get(at(1))?,
        label: row.get(at(2))?,
        description: row.get(at(3))?,
        created_at_ms: row.get(at(4))?,
        updated_at_ms: row.get(at(5))?,
        deleted_at_ms: row.get(at(6))?,
    })
}

/// What a refund's view is read from, `r` being the refund. The first 28 columns are the refund's, the next eight its reason's, the others the refund's again.
const REFUND_COLUMNS: &str = "select r.refund_id, r.payment_id, r.leg_id, l.leg_no, p.currency,
        p.exponent, r.amount_minor, r.status, r.psp_refund, r.fault_code, r.fault_text, r.face,
        r.actor, r.reason_code, r.reason_text, r.note, r.external_identifier, r.given_id,
        r.key_text, r.reference_day, r.reference_no, r.asked_at_ms, r.sent_at_ms,
        r.settled_at_ms, r.updated_at_ms, r.next_action_at_ms, r.sends, r.asked_seq,
        q.reason_id is not null, q.reason_id, q.code, q.label, q.description, q.created_at_ms,
        q.updated_at_ms, q.deleted_at_ms, r.unknown_at_ms, r.metadata, p.connector,
        p.external_identifier, p.order_ref, r.capture_id, r.capture_minor";

/// What [`REFUND_COLUMNS`] are of, besides the refund.
const REFUND_JOINS: &str =
    "join payment p on p.merchant_id = r.merchant_id and p.payment_id = r.payment_id
    join leg l on l.merchant_id = r.merchant_id and l.payment_id = r.payment_id
        and l.leg_id = r.leg_id
    left join refund_reason q on q.merchant_id = r.merchant_id and q.reason_id = r.reason_id";

fn refund_view(merchant: MerchantId, row: &Row<'_>) -> Result<RefundView> {
    let is_primary = row.get::<i64>(3)? == 0;
    let day: Option<i64> = row.get(19)?;
    let number: Option<u32> = row.get(20)?;
    let has_reason: bool = row.get(28)?;
    Ok(RefundView {
        merchant,
        id: RefundId::new(id(row, 0)?),
        payment: PaymentId::new(id(row, 1)?),
        leg: LegId::new(id(row, 2)?),
        leg_kind: if is_primary { LegKind::PaymentMethod } else { LegKind::GiftCard },
        currency: currency(row, 4, 5)?,
        amount: minor(row, 6)?,
        status: status(row, 7)?,
        connector: row.get(38)?,
        psp_refund: row.get(8)?,
        fault: fault_of(row, 9, 10)?,
        face: row.get(11)?,
        actor: row.get(12)?,
        reason_code: row.get(13)?,
        reason_text: row.get(14)?,
        reason: if has_reason { Some(reason_view(row, 29)?) } else { None },
        note: row.get(15)?,
        external_identifier: row.get(16)?,
        given_id: maybe_id(row, 17)?,
        key_text: row.get(18)?,
        metadata: row.get(37)?,
        reference: day.zip(number),
        asked_seq: row.get(27)?,
        asked_at_ms: row.get(21)?,
        sent_at_ms: row.get(22)?,
        unknown_at_ms: row.get(36)?,
        settled_at_ms: row.get(23)?,
        updated_at_ms: row.get(24)?,
        next_action_at_ms: row.get(25)?,
        sends: row.get(26)?,
    })
}
