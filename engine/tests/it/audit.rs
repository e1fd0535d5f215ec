//! An audit that cannot fail proves nothing: each row breaks a store in one place, by hand.

use requite_engine::command::Command;

use crate::support::{Bench, lost, registration, request};

/// What an audit finds of a store that is whole until this breaks it.
pub(crate) fn found(bench: &Bench, sql: &str) -> Vec<(&'static str, String)> {
    bench.check();
    assert!(bench.place.tamper(sql) > 0, "{sql}");
    bench.place.audit().violations.into_iter().map(|found| (found.invariant, found.what)).collect()
}

/// What is found of a refund of two captures.
fn broken_beyond_the_first(sql: &str) -> Vec<(&'static str, String)> {
    let mut bench = Bench::new();
    let new = registration("psp", &[6_000, 4_000]);
    bench.ask(Command::Register(Box::new(new))).expect("registered");
    bench.start(request(1, 7_000));
    bench.answer(crate::support::succeeded());
    found(&bench, sql)
}

#[test]
fn a_break_of_what_lies_in_rows_of_its_own_is_found() {
    for (sql, invariant) in [
        ("update allocation set amount_minor = amount_minor + 1", "I3"),
        ("delete from allocation", "I3"),
        ("update journal set amount_minor = amount_minor - 1 where credit = 3", "I11"),
        ("delete from journal where credit = 3", "I11"),
    ] {
        let found = broken_beyond_the_first(sql);
        assert!(found.iter().any(|(named, _)| *named == invariant), "{sql}: {found:?}");
    }
}

fn broken(sql: &str) -> Vec<(&'static str, String)> {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(crate::support::succeeded());
    bench.start(request(2, 1_000));
    bench.answer(lost());
    found(&bench, sql)
}

#[test]
fn every_break_is_found_and_named() {
    for (sql, invariant) in [
        ("update book set refunded_minor = 9999 where captured_minor = 10000", "I1"),
        ("update book set refunded_minor = 3999 where refunded_minor = 4000", "I11"),
        ("update book set captured_minor = 9000 where captured_minor = 10000", "I11"),
        ("update refund set capture_minor = 3999 where amount_minor = 4000", "I3"),
        ("delete from attempt where attempt = 1", "I5"),
        ("update event set moved_minor = 3999 where moved_minor = 4000 and credit = 3", "I11"),
        ("update event set debit = 2, credit = 1 where debit = 1", "I10"),
        ("delete from event where seq = 3", "I12"),
        ("update event set amount_minor = 1 where seq = 2", "I12"),
        ("update event set actor = 'someone' where seq = 4", "I12"),
        ("update event set hash = (select hash from event where seq = 3) where seq = 4", "I12"),
        ("update book set seq = 99 where line = 0", "I12"),
        ("update refund set status = 9 where status = 6", "I11"),
        ("update refund set next_action_at_ms = null where status = 6", "I16"),
        ("update book set released_minor = 1 where line = -1", "I1"),
        ("delete from book where line = 0", "I1"),
        ("delete from book where line < 0", "I1"),
        ("update book set is_closed = 1 where line = 0", "I1"),
        ("update book set connector = 'manual' where line = 0", "I1"),
        ("update payment set currency = 'GBP'", "I1"),
        ("update payment set external_identifier = 'another'", "I1"),
    ] {
        let found = broken(sql);
        assert!(found.iter().any(|(named, _)| *named == invariant), "{sql}: {found:?}");
    }
}
