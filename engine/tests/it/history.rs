//! A payment's history as it is shown: events in their chain, and a journal that comes to the balances.

use requite_core::id::{MerchantId, RefundId};
use requite_core::journal::Account;
use requite_core::refund::Status;
use requite_engine::command::{Booking, Command};
use requite_engine::event::Kind;
use requite_engine::read::{
    HistoryPage, Journal, JournalView, PaymentFilter, Reads, RefundFilter, Sort,
};

use crate::support::{
    Bench, MERCHANT, NOW, PAYMENT, booking, lost, of, registration, request, succeeded,
};

fn page(limit: u32) -> HistoryPage {
    HistoryPage { limit, ..HistoryPage::default() }
}

fn newest(limit: u32) -> HistoryPage {
    HistoryPage { newest_first: true, ..page(limit) }
}

/// A refund of 40.00 that is out, and one of 60.00 that was made.
fn refunded() -> Bench {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 6_000));
    bench.answer(succeeded());
    bench.start(request(2, 4_000));
    bench
}

fn journal(bench: &Bench, page: &HistoryPage) -> Journal {
    bench.reads().journal(MERCHANT, PAYMENT, page).expect("readable")
}

#[test]
fn events_are_shown_with_what_they_follow_from() {
    let bench = refunded();
    let reads = bench.reads();
    let all = reads.events(MERCHANT, PAYMENT, &page(100)).expect("readable");
    let mut before = [0; 32];
    for (view, seq) in all.iter().zip(1..) {
        assert_eq!((view.event.seq, view.hash_before), (seq, before));
        assert_eq!(view.event.hash, view.event.hash_after(&before));
        before = view.event.hash;
    }
    let told: Vec<_> = all.iter().map(|view| (view.event.kind, view.event.status)).collect();
    assert_eq!(
        told,
        [
            (Kind::Registered, None),
            (Kind::Captured, None),
            (Kind::Captured, None),
            (Kind::Refund, Some(Status::Dispatched)),
            (Kind::Refund, Some(Status::Succeeded)),
            (Kind::Refund, Some(Status::Dispatched)),
        ]
    );
    // Page by page, both ways.
    for (first, expected) in [(page(4), [1, 2, 3, 4, 5, 6]), (newest(4), [6, 5, 4, 3, 2, 1])] {
        let mut seen = reads.events(MERCHANT, PAYMENT, &first).expect("readable");
        let after = seen.last().map(|view| (view.event.seq, 0));
        let next = HistoryPage { after, ..first };
        seen.extend(reads.events(MERCHANT, PAYMENT, &next).expect("readable"));
        let numbers: Vec<u32> = seen.iter().map(|view| view.event.seq).collect();
        assert_eq!(numbers, expected);
    }
    let other = MerchantId::new(2);
    assert_eq!(reads.events(other, PAYMENT, &page(9)).expect("readable"), []);
    assert_eq!(reads.journal(other, PAYMENT, &page(9)).expect("readable"), Journal::default());
}

#[test]
fn the_journal_comes_to_the_balances_and_says_what_moved_each_cent() {
    let bench = refunded();
    let all = journal(&bench, &page(100));
    let moves = |line: &JournalView| {
        let JournalView { seq, line, entry, .. } = line;
        (*seq, *line, entry.debit.word(), entry.credit.word(), entry.amount.units())
    };
    let moved: Vec<_> = all.lines.iter().map(moves).collect();
    assert_eq!(
        moved,
        [
            (2, 0, "psp_clearing", "refundable", 10_000),
            (3, 0, "psp_clearing", "refundable", 2_500),
            (4, 0, "refundable", "reserved", 6_000),
            (5, 0, "reserved", "refunded", 6_000),
            (6, 0, "refundable", "reserved", 4_000),
        ]
    );
    let [card, method] = all.accounts.as_slice() else { panic!("two captures: {all:?}") };
    assert_eq!((card.capture.bits(), method.capture.bits()), (51, 100));
    for (account, units) in [
        (Account::Refundable, 0),
        (Account::Reserved, 4_000),
        (Account::Refunded, 6_000),
        (Account::Disputed, 0),
        (Account::PspClearing, -10_000),
    ] {
        assert_eq!(method.credit(account), units, "{account:?}");
    }
    let first = journal(&bench, &newest(2));
    let after = first.lines.last().map(|line| (line.seq, line.line));
    let next = journal(&bench, &HistoryPage { after, ..newest(9) });
    let numbers: Vec<u32> = first.lines.iter().chain(&next.lines).map(|line| line.seq).collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2]);
    assert_eq!(first.accounts, all.accounts, "whatever the page");
}

/// Pages by change go on behind the time that was shown: it must be the time that orders them, also
/// where a payment was made long ago and captured in the millisecond in which it came here.
#[test]
fn a_payment_shows_the_time_by_which_it_is_listed() {
    let mut bench = Bench::new();
    let mut old = registration("manual", &[]);
    (old.created_at_ms, old.at_ms) = (NOW - 1_000_000, NOW);
    bench.ask(Command::Register(Box::new(old))).expect("registered");
    assert_eq!(bench.view(None).updated_at_ms, NOW - 1_000_000);
    bench.ask(booking(Booking::Capture { is_final: false }, 200, None)).expect("captured");
    let shown = bench.view(None);
    assert_eq!(shown.updated_at_ms, NOW);
    let behind = |at_ms| PaymentFilter {
        sort: Sort::Updated,
        after: Some((PAYMENT, at_ms)),
        limit: 9,
        ..PaymentFilter::default()
    };
    let listed = |at_ms| bench.reads().payments(MERCHANT, &behind(at_ms)).expect("readable").len();
    assert_eq!((listed(shown.updated_at_ms), listed(shown.updated_at_ms - 1)), (0, 1));
}

/// A call that tells nothing new is no change: a payment keeps its place while a refund of it is looked up.
#[test]
fn a_look_up_moves_no_payment_in_the_list_of_changes() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(lost());
    let unknown = bench.view(None).updated_at_ms;
    assert!(unknown >= NOW);
    let due = Command::Wake { refund: of(1), at_ms: NOW + 2_000, is_restart: false };
    bench.ask(due).expect("noted");
    assert_eq!(bench.sent.len(), 2, "it is looked up");
    let filter = PaymentFilter {
        sort: Sort::Updated,
        updated_from_ms: Some(unknown),
        limit: 9,
        ..PaymentFilter::default()
    };
    assert_eq!(bench.view(None).updated_at_ms, unknown);
    assert_eq!(bench.reads().payments(MERCHANT, &filter).expect("readable").len(), 1);
}

/// A refund that changes while somebody turns pages by change moves to the end; nothing is left out.
#[test]
fn refunds_are_listed_by_their_newest_change() {
    let bench = refunded();
    let filter = |limit| RefundFilter { sort: Sort::Updated, limit, ..RefundFilter::default() };
    let listed = |filter: &RefundFilter| {
        let refunds = bench.reads().refunds(MERCHANT, filter).expect("readable");
        refunds.iter().map(|refund| (refund.id, refund.updated_at_ms)).collect::<Vec<_>>()
    };
    let all = listed(&filter(9));
    let ids: Vec<RefundId> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [RefundId::new(2), RefundId::new(1)], "the first one was settled later");
    let mut newest = RefundFilter { newest_first: true, ..filter(1) };
    assert_eq!(listed(&newest), all[1..]);
    newest.after = all.last().copied();
    assert_eq!(listed(&newest), all[..1]);
}

/// Three refunds of one payment in one millisecond are three changes, and its payment has changed once.
#[test]
fn what_changed_in_one_moment_is_listed_once() {
    let mut bench = Bench::with_payment("manual");
    let ask = |number| Command::Refund(Box::new(request(number, 1_000)));
    bench.batch([2, 1].map(ask).to_vec());
    bench.batch(vec![ask(3)]);
    let payments = PaymentFilter { sort: Sort::Updated, limit: 9, ..PaymentFilter::default() };
    assert_eq!(bench.reads().payments(MERCHANT, &payments).expect("readable").len(), 1);
    assert_eq!(bench.reads().count_payments(MERCHANT, &payments).expect("counted"), 1);
    let since = PaymentFilter { updated_from_ms: Some(NOW), ..payments };
    assert_eq!(bench.reads().count_payments(MERCHANT, &since).expect("counted"), 1);
    for (newest_first, expected) in [(false, [1, 2, 3]), (true, [3, 2, 1])] {
        let mut page = RefundFilter {
            sort: Sort::Updated,
            newest_first,
            updated_from_ms: Some(NOW),
            limit: 1,
            ..RefundFilter::default()
        };
        let next = |_| {
            let mut refunds = bench.reads().refunds(MERCHANT, &page).expect("readable");
            let refund = refunds.pop().expect("one more");
            page.after = Some((refund.id, refund.updated_at_ms));
            refund.id.bits()
        };
        assert_eq!([(); 3].map(next), expected);
        assert_eq!(bench.reads().refunds(MERCHANT, &page).expect("readable"), []);
    }
}
