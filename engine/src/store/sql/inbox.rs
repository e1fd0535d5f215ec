//! Messages of PSPs, alarms, and how far accounts' own lists were read.

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::settle::Alarm;

use super::registry::SqlRegistry;
use super::{Cell, Result, Row, Sql, blob, corrupt, id, maybe_id, params};
use crate::inbox::{
    AccountRef, AlarmView, FORGOTTEN_MAX, Inbox, ListPage, MessageEnd, MessageState, MessageView,
    NewMessage, SAME_PAYMENT_MAX, Sweep, WAITING_MAX,
};
use crate::read::ReadFault;
use crate::registry::RegistryFault;

/// What a row that cannot be written is called.
const MESSAGE: &str = "the message's id";

impl Inbox for SqlRegistry {
    fn take_in(&self, messages: &[NewMessage]) -> Result<bool, RegistryFault> {
        let mut accounts: Vec<AccountRef> = messages.iter().map(|new| new.at).collect();
        accounts.sort();
        accounts.dedup();
        self.write(MESSAGE, |connection| {
            for &at in &accounts {
                if is_full(connection, at)? {
                    return Ok(false);
                }
            }
            messages.iter().try_for_each(|new| insert(connection, new))?;
            Ok(true)
        })
    }

    fn claim(
        &self,
        now_ms: i64,
        until_ms: i64,
        max: u32,
    ) -> Result<Vec<MessageView>, RegistryFault> {
        self.write(MESSAGE, |connection| {
            let sql = "-- messages_due
                select merchant_id, account_id, message_id, word, state, notice, result,
                    refund_id, tries, received_at_ms, next_try_at_ms, done_at_ms
                from inbox_message where next_try_at_ms is not null and next_try_at_ms <= ?1
                order by next_try_at_ms, merchant_id, account_id, message_id limit ?2";
            let mut claimed = connection.query(sql, params![now_ms, max], view)?;
            let mut lost = Vec::new();
            for message in &mut claimed {
                // Another node may have read the same: only one of the two changes the row.
                let sql = "-- claim_message
                    update inbox_message set next_try_at_ms = ?4, tries = tries + 1
                    where merchant_id = ?1 and account_id = ?2 and message_id = ?3
                        and next_try_at_ms = ?5";
                let (merchant, account) = ids(message.at);
                let row = params![merchant, account, message.id, until_ms, message.next_try_at_ms];
                if connection.execute(sql, row)? == 0 {
                    lost.push(message.id.clone());
                }
                message.tries = message.tries.saturating_add(1);
            }
            claimed.retain(|message| !lost.contains(&message.id));
            Ok(claimed)
        })
    }

    fn end(
        &self,
        message: &MessageView,
        end: &MessageEnd,
        at_ms: i64,
    ) -> Result<(), RegistryFault> {
        let sql = "-- end_message
            update inbox_message set state = ?4, notice = null, result = ?5, refund_id = ?6,
                next_try_at_ms = null, done_at_ms = ?7
            where merchant_id = ?1 and account_id = ?2 and message_id = ?3";
        let (merchant, account) = ids(message.at);
        let refund = end.refund.map(|refund| blob(refund.bits()));
        let state = end.state.number();
        self.write(MESSAGE, |connection| {
            let row = params![merchant, account, message.id, state, end.result, refund, at_ms];
            connection.execute(sql, row)?;
            Ok(())
        })
    }

    fn postpone(
        &self,
        message: &MessageView,
        why: &str,
        next_try_at_ms: i64,
    ) -> Result<(), RegistryFault> {
        let sql = "-- postpone_message
            update inbox_message set result = ?4, next_try_at_ms = ?5
            where merchant_id = ?1 and account_id = ?2 and message_id = ?3 and state = 1";
        let (merchant, account) = ids(message.at);
        self.write(MESSAGE, |connection| {
            let row = params![merchant, account, message.id, why, next_try_at_ms];
            connection.execute(sql, row)?;
            Ok(())
        })
    }

    fn forget(&self, before_ms: i64) -> Result<(), RegistryFault> {
        let sql = "-- forget_messages
            delete from inbox_message where (merchant_id, account_id, message_id) in (
                select merchant_id, account_id, message_id from inbox_message
                where done_at_ms is not null and done_at_ms < ?1
                order by done_at_ms limit ?2)";
        self.write(MESSAGE, |connection| {
            connection.execute(sql, params![before_ms, FORGOTTEN_MAX])?;
            Ok(())
        })
    }

    fn claim_sweep(
        &self,
        at: AccountRef,
        first_ms: i64,
        (now_ms, until_ms): (i64, i64),
    ) -> Result<Option<Sweep>, RegistryFault> {
        let (merchant, account) = ids(at);
        self.write(MESSAGE, |connection| {
            let sql = "-- open_sweep
                insert into connector_sweep (merchant_id, account_id, since_ms, next_at_ms)
                values (?1, ?2, ?3, ?4) on conflict do nothing";
            let row = params![merchant, account, first_ms, now_ms];
            connection.execute(sql, row)?;
            let sql = "-- claim_sweep
                update connector_sweep set next_at_ms = ?4
                where merchant_id = ?1 and account_id = ?2 and next_at_ms <= ?3
                returning since_ms";
            let row = params![merchant, account, now_ms, until_ms];
            let since = connection.find(sql, row, |row| row.get(0))?;
            Ok(since.map(|since_ms| Sweep { at, since_ms }))
        })
    }

    fn swept_until(&self, at: AccountRef) -> Result<Option<i64>, RegistryFault> {
        let (merchant, account) = ids(at);
        self.write(MESSAGE, |connection| {
            let sql = "-- swept_until
                select since_ms from connector_sweep where merchant_id = ?1 and account_id = ?2";
            connection.find(sql, params![merchant, account], |row| row.get(0))
        })
    }

    fn end_sweep(&self, at: AccountRef, since_ms: i64) -> Result<(), RegistryFault> {
        let sql = "-- end_sweep
            update connector_sweep set since_ms = ?3
            where merchant_id = ?1 and account_id = ?2 and since_ms < ?3";
        let (merchant, account) = ids(at);
        self.write(MESSAGE, |connection| {
            connection.execute(sql, params![merchant, account, since_ms])?;
            Ok(())
        })
    }

    fn payments_at(
        &self,
        merchant: MerchantId,
        connector: &str,
        psp_payments: &[String],
    ) -> Result<Vec<PaymentId>, ReadFault> {
        self.look(|connection| {
            let mut found = Vec::new();
            for text in psp_payments {
                found.extend(payments_at(connection, merchant, connector, text)?);
            }
            found.sort();
            found.dedup();
            Ok(found)
        })
    }

    fn messages(
        &self,
        merchant: MerchantId,
        only: Option<MessageState>,
        page: &ListPage,
    ) -> Result<Vec<MessageView>, ReadFault> {
        let sql = "-- messages
            select merchant_id, account_id, message_id, word, state, notice, result, refund_id,
                tries, received_at_ms, next_try_at_ms, done_at_ms
            from inbox_message
            where merchant_id = ?1 and received_at_ms <= ?2 and (?3 = 0 or state = ?3)
            order by received_at_ms desc, message_id desc limit ?4";
        let until = page.until_ms.unwrap_or(i64::MAX);
        let state = only.map_or(0, MessageState::number);
        self.look(|connection| {
            let row = params![blob(merchant.bits()), until, state, page.limit];
            connection.query(sql, row, view)
        })
    }

    fn alarms(&self, merchant: MerchantId, page: &ListPage) -> Result<Vec<AlarmView>, ReadFault> {
        let sql = "-- alarms
            select payment_id, refund_id, alarm, at_ms from alarm
            where merchant_id = ?1 and at_ms <= ?2
            order by at_ms desc, refund_id desc, alarm desc limit ?3";
        let until = page.until_ms.unwrap_or(i64::MAX);
        self.look(|connection| {
            let row = params![blob(merchant.bits()), until, page.limit];
            connection.query(sql, row, |row| {
                let alarm = match row.cell(2)? {
                    Cell::Text(word) => Alarm::from_word(word),
                    _ => None,
                };
                Ok(AlarmView {
                    payment: PaymentId::new(id(row, 0)?),
                    refund: RefundId::new(id(row, 1)?),
                    alarm: alarm.ok_or_else(|| corrupt("an unknown alarm"))?,
                    at_ms: row.get(3)?,
                })
            })
        })
    }
}

fn ids(at: AccountRef) -> ([u8; 16], [u8; 16]) {
    (blob(at.merchant.bits()), blob(at.account))
}

fn is_full(connection: Sql<'_>, at: AccountRef) -> Result<bool> {
    let sql = "-- count_waiting_messages
        select count(*) from (
            select 1 from inbox_message
            where state = 1 and merchant_id = ?1 and account_id = ?2 limit ?3) as waiting";
    let (merchant, account) = ids(at);
    let row = params![merchant, account, WAITING_MAX];
    let waiting: Option<u32> = connection.find(sql, row, |row| row.get(0))?;
    Ok(waiting >= Some(WAITING_MAX))
}

fn insert(connection: Sql<'_>, new: &NewMessage) -> Result<()> {
    let sql = "-- insert_message
        insert into inbox_message (merchant_id, account_id, message_id, word, state, notice,
            result, refund_id, tries, received_at_ms, next_try_at_ms, done_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11) on conflict do nothing";
    let (merchant, account) = ids(new.at);
    let end = new.told.as_ref().err();
    let is_waiting = end.is_none();
    let row = params![
        merchant,
        account,
        new.id,
        new.word,
        end.map_or(MessageState::Waiting, |end| end.state).number(),
        new.told.as_ref().ok(),
        end.map(|end| &end.result),
        end.and_then(|end| end.refund).map(|refund| blob(refund.bits())),
        new.at_ms,
        is_waiting.then_some(new.at_ms),
        (!is_waiting).then_some(new.at_ms),
    ];
    connection.execute(sql, row)?;
    Ok(())
}

fn view(row: &Row<'_>) -> Result<MessageView> {
    let state = MessageState::from_number(row.get(4)?);
    Ok(MessageView {
        at: AccountRef { merchant: MerchantId::new(id(row, 0)?), account: id(row, 1)? },
        id: row.get(2)?,
        word: row.get(3)?,
        state: state.ok_or_else(|| corrupt("an unknown state of a message"))?,
        notice: row.get(5)?,
        result: row.get(6)?,
        refund: maybe_id(row, 7)?.map(RefundId::new),
        tries: row.get(8)?,
        received_at_ms: row.get(9)?,
        next_try_at_ms: row.get(10)?,
        done_at_ms: row.get(11)?,
    })
}

fn payments_at(
    connection: Sql<'_>,
    merchant: MerchantId,
    connector: &str,
    psp_payment: &str,
) -> Result<Vec<PaymentId>> {
    let sql = "-- payments_at_connector
        select p.payment_id from alias a
        join payment p on p.merchant_id = a.merchant_id and p.payment_id = a.payment_id
        where a.merchant_id = ?1 and a.alias = ?2 and p.connector = ?3
            and p.connector_payment = ?2
        order by p.payment_id limit ?4";
    let row = params![blob(merchant.bits()), psp_payment, connector, SAME_PAYMENT_MAX];
    connection.query(sql, row, |row| Ok(PaymentId::new(id(row, 0)?)))
}
