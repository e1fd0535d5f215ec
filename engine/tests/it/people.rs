//! What nobody but people can say: which refunds that is, and what their word changes.

use requite_core::id::{LegId, RefundId};
use requite_core::refund::{Fault, Status};
use requite_core::schedule::{PEOPLE_PENDING, PEOPLE_UNKNOWN, PEOPLE_UNSENT};
use requite_core::settle::{Alarm, Finding, Outcome};
use requite_engine::command::{
    Booked, Command, CommandError, RefundRef, Reply, Resolution, Resolved, Ruling,
};
use requite_engine::event::Kind;
use requite_engine::inbox::{Inbox, ListPage};
use requite_engine::read::{HistoryPage, Reads, RefundFilter};

use crate::support::{Bench, MERCHANT, NOW, PAYMENT, declined, key, lost, of, request, succeeded};

fn resolution(ruling: Ruling) -> Resolution {
    Resolution {
        refund: of(1),
        ruling,
        evidence: "bank statement of 3 May, line 7".to_owned(),
        psp_refund: None,
        keys: Vec::new(),
        actor: "key_support".to_owned(),
        at_ms: NOW + 50,
    }
}

fn resolve(bench: &mut Bench, resolution: Resolution) -> Result<Resolved, CommandError> {
    match bench.ask(Command::Resolve(Box::new(resolution)))? {
        Reply::Resolved(resolved) => Ok(resolved),
        other => panic!("a resolution is answered as one, not {other:?}"),
    }
}

fn done(seq: u32, is_replay: bool) -> Result<Resolved, CommandError> {
    Ok(Resolved::Done(Booked { payment: PAYMENT, seq, as_of: Some(seq), is_replay }))
}

/// A refund of 40.00 of 100.00 whose call was answered so.
fn with_refund(outcome: Outcome) -> Bench {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(outcome);
    bench
}

fn held(bench: &Bench) -> (Status, i64) {
    let refund = bench.statuses().pop().expect("one refund");
    (refund, bench.view(None).refunded_or_open(LegId::new(50)))
}

fn alarms(bench: &Bench) -> Vec<Alarm> {
    let alarms = bench.place.registry().alarms(MERCHANT, &ListPage { until_ms: None, limit: 100 });
    alarms.expect("readable").into_iter().map(|view| view.alarm).collect()
}

#[test]
fn a_person_s_word_closes_what_nobody_else_can_tell_of() {
    let pending = || Outcome::Pending { psp_refund: Some("re_1".to_owned()) };
    let waits = || Outcome::RequiresAction { psp_refund: None };
    for (outcome, ruling, status, counts) in [
        (lost(), Ruling::Succeeded, Status::Succeeded, 4_000),
        (lost(), Ruling::Failed, Status::Failed, 0),
        (lost(), Ruling::Declined, Status::Declined, 0),
        (lost(), Ruling::Voided, Status::Voided, 0),
        (pending(), Ruling::Succeeded, Status::Succeeded, 4_000),
        (pending(), Ruling::Failed, Status::Failed, 0),
        (waits(), Ruling::Voided, Status::Voided, 0),
    ] {
        let mut bench = with_refund(outcome);
        let seq = bench.view(None).seq;
        assert_eq!(resolve(&mut bench, resolution(ruling)), done(seq + 2, false));
        assert_eq!(held(&bench), (status, counts), "{ruling:?}");
        // Said again, it is said already.
        assert_eq!(resolve(&mut bench, resolution(ruling)), done(seq + 2, false));
        bench.check();
    }
}

/// The history says who said what, and what they saw.
#[test]
fn the_evidence_is_an_event_before_what_it_moves() {
    let mut bench = with_refund(lost());
    let named = Resolution { psp_refund: Some("re_9".to_owned()), ..resolution(Ruling::Succeeded) };
    resolve(&mut bench, named).expect("resolved");
    let page = HistoryPage { after: None, newest_first: true, limit: 2 };
    let events = bench.reads().events(MERCHANT, PAYMENT, &page).expect("readable");
    let [moved, said] = events.as_slice() else { panic!("two events: {events:?}") };
    let (moved, said) = (&moved.event, &said.event);
    assert_eq!((said.kind, said.subject, said.status), (Kind::Resolved, 1, None));
    let evidence =
        Fault { code: "succeeded".to_owned(), text: "bank statement of 3 May, line 7".to_owned() };
    assert_eq!((&said.fault, said.actor.as_str()), (&Some(evidence), "key_support"));
    assert_eq!((moved.kind, moved.status), (Kind::Refund, Some(Status::Succeeded)));
    assert_eq!(moved.psp_refund.as_deref(), Some("re_9"));
    assert_eq!(moved.actor, "key_support");
    // It shows as it was, also as of the event between.
    for seq in 1..=moved.seq {
        bench.view(Some(seq));
    }
    bench.check();
}

#[test]
fn a_person_s_word_is_refused_where_it_is_not_theirs() {
    let refused = |bench: &mut Bench, wish: Resolution| {
        let (before, seq) = (held(bench), bench.view(None).seq);
        let resolved = resolve(bench, wish).expect("an answer");
        assert_eq!((held(bench), bench.view(None).seq), (before, seq), "nothing changed");
        resolved
    };
    let mut bench = with_refund(succeeded());
    let told = refused(&mut bench, resolution(Ruling::Failed));
    assert_eq!(told, Resolved::NotForPeople(Status::Succeeded), "paid money is not denied");
    let mut bench = with_refund(declined());
    let told = refused(&mut bench, resolution(Ruling::Succeeded));
    assert_eq!(told, Resolved::NotForPeople(Status::Declined));
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    let told = refused(&mut bench, resolution(Ruling::Failed));
    assert_eq!(told, Resolved::NotForPeople(Status::Dispatched), "its call is under way");
    bench.answer(lost());
    for blank in ["", " \n"] {
        let wish = Resolution { evidence: blank.to_owned(), ..resolution(Ruling::Failed) };
        assert_eq!(refused(&mut bench, wish), Resolved::NoEvidence);
    }
    let look = Command::Wake { refund: of(1), at_ms: NOW + 5_000, is_restart: false };
    bench.ask(look).expect("noted");
    let told = refused(&mut bench, resolution(Ruling::Failed));
    assert_eq!(told, Resolved::CallUnderWay, "what it finds comes first");
    bench.answer(Outcome::Pending { psp_refund: Some("re_1".to_owned()) });
    let other = Resolution { psp_refund: Some("re_2".to_owned()), ..resolution(Ruling::Succeeded) };
    assert_eq!(refused(&mut bench, other), Resolved::OtherPspRefund);
    let nobody = RefundRef { refund: RefundId::new(77), ..of(1) };
    let wish = Resolution { refund: nobody, ..resolution(Ruling::Failed) };
    assert_eq!(resolve(&mut bench, wish), Err(CommandError::PaymentUnknown));
    bench.check();
}

#[test]
fn a_key_stands_for_one_resolution() {
    let mut bench = with_refund(lost());
    let keyed =
        |ruling, meaning| Resolution { keys: vec![key("k", meaning)], ..resolution(ruling) };
    let seq = bench.view(None).seq + 2;
    assert_eq!(resolve(&mut bench, keyed(Ruling::Failed, "a")), done(seq, false));
    assert_eq!(resolve(&mut bench, keyed(Ruling::Failed, "a")), done(seq, true));
    let other = resolve(&mut bench, keyed(Ruling::Succeeded, "b"));
    assert_eq!(other, Err(CommandError::KeyReused));
    bench.check();
}

/// What the PSP says against it later is booked, and people see it.
#[test]
fn a_later_word_of_the_psp_is_booked_with_an_alarm() {
    for (ruling, later, status, alarm) in [
        (Ruling::Failed, succeeded(), Status::Succeeded, Alarm::LateSuccess),
        (Ruling::Voided, succeeded(), Status::Succeeded, Alarm::LateSuccess),
        (Ruling::Succeeded, declined(), Status::Reversed, Alarm::Reversed),
    ] {
        let mut bench = with_refund(lost());
        resolve(&mut bench, resolution(ruling)).expect("resolved");
        let finding = Finding { attempt: 1, outcome: later, at_ms: NOW + 90 };
        bench.ask(Command::Settle { refund: of(1), finding }).expect("noted");
        assert_eq!(bench.statuses(), [status], "{ruling:?}");
        assert_eq!(alarms(&bench), [alarm]);
        bench.check();
    }
}

#[test]
fn the_store_and_the_rule_agree_on_what_is_for_people() {
    let mut bench = Bench::with_payment("psp");
    let outcomes = [
        Some(lost()),
        Some(Outcome::Pending { psp_refund: Some("re_2".to_owned()) }),
        Some(Outcome::RequiresAction { psp_refund: None }),
        Some(Outcome::NotSent {
            fault: Fault { code: "401".to_owned(), text: String::new() },
            retry_after_ms: 0,
        }),
        Some(succeeded()),
        Some(declined()),
        None,
    ];
    for (outcome, number) in outcomes.into_iter().zip(1_u128..) {
        bench.start(request(number, 100));
        if let Some(outcome) = outcome {
            bench.answer(outcome);
        }
    }
    let reads = bench.reads();
    let listed = |at_ms: i64| -> Vec<u128> {
        let filter =
            RefundFilter { for_people_at_ms: Some(at_ms), limit: 100, ..RefundFilter::default() };
        let found = reads.refunds(MERCHANT, &filter).expect("readable");
        found.iter().map(|view| view.id.bits()).collect()
    };
    let all = RefundFilter { limit: 100, ..RefundFilter::default() };
    let all = reads.refunds(MERCHANT, &all).expect("readable");
    let ends = [0, PEOPLE_UNKNOWN, PEOPLE_UNSENT, PEOPLE_PENDING];
    for at_ms in ends.iter().flat_map(|end| (-20..40).step_by(5).map(move |ms| NOW + end + ms)) {
        let due = all.iter().filter(|view| view.people_since_ms().is_some_and(|ms| ms <= at_ms));
        let due: Vec<u128> = due.map(|view| view.id.bits()).collect();
        assert_eq!(listed(at_ms), due, "{at_ms}");
    }
    assert_eq!(listed(NOW + 20), [3]);
    assert_eq!(listed(NOW + PEOPLE_PENDING + 20), [1, 2, 3, 4, 7]);
}
