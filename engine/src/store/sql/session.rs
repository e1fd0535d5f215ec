//! Sessions: rows that come with a log-in and go with a log-out, or some time after their end.

use requite_core::id::{MerchantId, PersonId};

use super::{Result, Row, Sql, blob, id, params};
use crate::read::SessionView;
use crate::registry::{EXPIRED_SESSIONS_MAX, SESSIONS_MAX};

/// Writes one, and tidies up: ended ones of anybody, a bounded number at a time, and of its person
/// the oldest beyond [`SESSIONS_MAX`].
pub(super) fn open(connection: Sql<'_>, session: &SessionView) -> Result<()> {
    let sql = "-- delete_ended_sessions
        delete from session where lookup in (
            select lookup from session where expires_at_ms <= ?1
            order by expires_at_ms limit ?2)";
    connection.execute(sql, params![session.created_at_ms, EXPIRED_SESSIONS_MAX])?;
    let sql = "-- insert_session
        insert into session (lookup, face, merchant_id, person_id, created_at_ms, expires_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6)";
    let (merchant, person) = (blob(session.merchant.bits()), blob(session.person.bits()));
    connection.execute(
        sql,
        params![
            session.lookup,
            session.face,
            merchant,
            person,
            session.created_at_ms,
            session.expires_at_ms,
        ],
    )?;
    let sql = "-- delete_surplus_sessions
        delete from session where lookup in (
            select lookup from session where merchant_id = ?1 and person_id = ?2
            order by created_at_ms desc, lookup limit 1000000 offset ?3)";
    connection.execute(sql, params![merchant, person, SESSIONS_MAX])?;
    Ok(())
}

pub(super) fn close(connection: Sql<'_>, lookup: &[u8; 32]) -> Result<()> {
    let sql = "-- delete_session
        delete from session where lookup = ?1";
    connection.execute(sql, params![lookup])?;
    Ok(())
}

pub(super) fn find(connection: Sql<'_>, lookup: &[u8; 32]) -> Result<Option<SessionView>> {
    let sql = "-- session
        select face, merchant_id, person_id, created_at_ms, expires_at_ms from session
        where lookup = ?1";
    let view = |row: &Row<'_>| {
        Ok(SessionView {
            lookup: *lookup,
            face: row.get(0)?,
            merchant: MerchantId::new(id(row, 1)?),
            person: PersonId::new(id(row, 2)?),
            created_at_ms: row.get(3)?,
            expires_at_ms: row.get(4)?,
        })
    };
    connection.find(sql, params![lookup], view)
}
