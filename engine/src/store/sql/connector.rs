//! Connector accounts: rows that say where a merchant's PSP is, and what opens it, sealed.

use requite_core::id::MerchantId;

use super::{Result, Row, Sql, blob, id, params, write_one};
use crate::read::ConnectorView;

pub(super) fn insert(connection: Sql<'_>, new: &ConnectorView) -> Result<()> {
    let sql = "-- insert_connector
        insert into connector_account (merchant_id, account_id, name, kind, mode, base_url,
            sends_reason, sealed, created_at_ms, sealed_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let row = params![
        blob(new.merchant.bits()),
        blob(new.id),
        new.name,
        new.kind,
        new.mode,
        new.base_url,
        new.sends_reason,
        new.sealed,
        new.created_at_ms,
        new.sealed_at_ms,
    ];
    write_one(connection, sql, row)
}

/// Puts another credential in place of the one there was. False: there is no such account.
pub(super) fn reseal(
    connection: Sql<'_>,
    (merchant, account): (MerchantId, u128),
    sealed: &[u8],
    at_ms: i64,
) -> Result<bool> {
    let sql = "-- reseal_connector
        update connector_account set sealed = ?3, sealed_at_ms = ?4
        where merchant_id = ?1 and account_id = ?2";
    let row = params![blob(merchant.bits()), blob(account), sealed, at_ms];
    Ok(connection.execute(sql, row)? == 1)
}

fn view(row: &Row<'_>) -> Result<ConnectorView> {
    Ok(ConnectorView {
        id: id(row, 0)?,
        merchant: MerchantId::new(id(row, 1)?),
        name: row.get(2)?,
        kind: row.get(3)?,
        mode: row.get(4)?,
        base_url: row.get(5)?,
        sends_reason: row.get(6)?,
        sealed: row.get(7)?,
        created_at_ms: row.get(8)?,
        sealed_at_ms: row.get(9)?,
    })
}

pub(super) fn named(
    connection: Sql<'_>,
    merchant: MerchantId,
    name: &str,
) -> Result<Option<ConnectorView>> {
    let sql = "-- connector_named
        select account_id, merchant_id, name, kind, mode, base_url, sends_reason, sealed,
            created_at_ms, sealed_at_ms
        from connector_account where merchant_id = ?1 and name = ?2";
    connection.find(sql, params![blob(merchant.bits()), name], view)
}

pub(super) fn all(connection: Sql<'_>) -> Result<Vec<ConnectorView>> {
    let sql = "-- connectors
        select account_id, merchant_id, name, kind, mode, base_url, sends_reason, sealed,
            created_at_ms, sealed_at_ms
        from connector_account order by merchant_id, name";
    connection.query(sql, &[], view)
}
