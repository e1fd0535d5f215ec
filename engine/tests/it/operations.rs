//! Captures, voids, extensions, registrations and amendments: their keys, what is kept of them, and
//! how a payment looked before and after.

use requite_core::decide::BookingRefusal;
use requite_engine::command::{
    Amendment, Booked, Booking, BookingRequest, Command, CommandError, Registered, Registration,
    Reply, Trace,
};
use requite_engine::key::Key;
use requite_engine::read::{
    OperationKind, PAGE_MAX, PaymentFilter, Reads, RefundFilter, Sort, Stage,
};

use crate::support::{
    Bench, MERCHANT, NOW, PAYMENT, booking, key, keyed, minor, registration, request,
};

const CAPTURE: Booking = Booking::Capture { is_final: false };
const FINAL: Booking = Booking::Capture { is_final: true };

fn authorized(connector: &str) -> Bench {
    let mut bench = Bench::new();
    let reply = bench.ask(Command::Register(Box::new(registration(connector, &[]))));
    assert!(matches!(reply, Ok(Reply::Registered(_))), "{reply:?}");
    bench
}

fn with_keys(command: Command, keys: Vec<Key>) -> Command {
    let Command::Book(request) = command else { panic!("a booking") };
    Command::Book(Box::new(BookingRequest { keys, ..*request }))
}

fn booked(reply: Result<Reply, CommandError>) -> Booked {
    match reply {
        Ok(Reply::Booked(booked)) => booked,
        other => panic!("expected a booking, heard {other:?}"),
    }
}

#[test]
fn one_key_is_one_capture_and_one_answer() {
    let mut bench = authorized("manual");
    let capture = |id, amount: i64, text| {
        with_keys(booking(CAPTURE, id, Some(amount)), vec![key(text, &amount.to_string())])
    };
    let first = booked(bench.ask(capture(200, 4_000, "k1")));
    booked(bench.ask(capture(201, 1_000, "k2")));
    bench.restart();
    let again = booked(bench.ask(capture(202, 4_000, "k1")));
    assert_eq!(again, Booked { is_replay: true, ..first });
    assert_eq!(bench.view(again.as_of).primary().captured(), 4_000, "rendered as it was");
    assert_eq!(bench.view(None).primary().captured(), 5_000);
    assert_eq!(bench.ask(capture(203, 4_001, "k1")), Err(CommandError::KeyReused));
    // The same in one batch, and for a key that shows the present.
    let heard = bench.batch(vec![capture(204, 500, "k3"), capture(205, 500, "k3")]);
    assert_eq!(heard.len(), 2);
    assert_eq!(bench.view(None).primary().captured(), 5_500);
    let present = Key { answers_present: true, ..key("k1", "4000") };
    let again = booked(bench.ask(with_keys(booking(CAPTURE, 206, Some(4_000)), vec![present])));
    assert_eq!((again.seq, again.as_of, again.is_replay), (first.seq, None, true));
    bench.check();
}

#[test]
fn a_refusal_about_money_is_kept_under_its_key_and_one_of_form_is_not() {
    let mut bench = authorized("manual");
    let asked =
        |amount, text| with_keys(booking(CAPTURE, 200, Some(amount)), vec![key(text, "the same")]);
    let refused = |is_replay| {
        let (asked, capturable) = (Some(minor(10_001)), minor(10_000));
        let refusal = BookingRefusal::ExceedsCapturable { asked, capturable };
        Err(CommandError::BookingRefused { refusal, is_replay })
    };
    assert_eq!(bench.ask(asked(10_001, "k1")), refused(false));
    bench.restart();
    assert_eq!(bench.ask(asked(10_001, "k1")), refused(true));
    let of_form =
        CommandError::BookingRefused { refusal: BookingRefusal::NotPositive, is_replay: false };
    assert_eq!(bench.ask(asked(0, "k2")), Err(of_form));
    booked(bench.ask(asked(10_000, "k2")));
    bench.check();
}

/// A key belongs to what it was used for: another kind of request with it is told so.
#[test]
fn a_capture_s_key_is_no_refund_s_key() {
    let mut bench = Bench::with_payment("manual");
    bench.refund(keyed(1, 1_000, "k1")).expect("it fits");
    let mut other = keyed(2, 1_000, "k2");
    other.keys = vec![key("k2", "void")];
    bench
        .ask(with_keys(booking(Booking::Extension, 300, None), vec![key("k1", "1000")]))
        .expect_err("the refund's");
    assert_eq!(bench.view(None).refunds.len(), 1);
    bench.check();
}

#[test]
fn a_final_capture_lets_go_of_the_rest() {
    let mut bench = authorized("manual");
    let first = booked(bench.ask(booking(FINAL, 200, Some(6_000))));
    let shown = bench.view(None);
    let leg = shown.primary();
    assert_eq!((leg.captured(), leg.released(), leg.voided()), (6_000, 4_000, 0));
    assert!(shown.operation_at(first.seq).expect("told").is_final);
    let refused = bench.ask(booking(CAPTURE, 201, Some(1)));
    let refusal = BookingRefusal::ExceedsCapturable { asked: Some(minor(1)), capturable: minor(0) };
    assert_eq!(refused, Err(CommandError::BookingRefused { refusal, is_replay: false }));
    // Nothing left over, nothing let go.
    let mut whole = authorized("manual");
    booked(whole.ask(booking(FINAL, 200, None)));
    assert_eq!(whole.view(None).primary().released(), 0);
    whole.check();
    bench.check();
}

/// What the connector turned down is on the books and moved nothing.
#[test]
fn a_declined_booking_is_kept_and_moves_nothing() {
    let mut bench = authorized("strict");
    let capture = with_keys(booking(CAPTURE, 200, Some(666)), vec![key("k1", "666")]);
    let declined = booked(bench.ask(capture.clone()));
    booked(bench.ask(booking(CAPTURE, 201, Some(667))));
    let again = booked(bench.ask(capture));
    assert_eq!((again.seq, again.is_replay), (declined.seq, true));
    let shown = bench.view(None);
    assert_eq!(shown.primary().captured(), 667);
    let operation = shown.operation(OperationKind::Capture, 200).expect("kept");
    assert_eq!(operation.fault.as_ref().map(|fault| fault.code.as_str()), Some("05"));
    assert_eq!(operation.amount, minor(666));
    bench.check();
}

#[test]
fn a_declined_payment_is_kept_and_nothing_of_it_can_be_taken() {
    let mut bench = Bench::new();
    let declined = Registration {
        decline: Some(requite_core::refund::Fault {
            code: "51".to_owned(),
            text: "insufficient funds".to_owned(),
        }),
        gift_cards: Vec::new(),
        ..registration("manual", &[])
    };
    assert!(declined.is_sound());
    let with_cards =
        Registration { gift_cards: registration("manual", &[]).gift_cards, ..declined.clone() };
    assert!(!with_cards.is_sound(), "a declined payment takes nothing");
    bench.ask(Command::Register(Box::new(declined))).expect("kept");
    let refused = bench.ask(booking(CAPTURE, 200, None));
    let refusal = BookingRefusal::Cancelled;
    assert_eq!(refused, Err(CommandError::BookingRefused { refusal, is_replay: false }));
    bench.refund(request(1, 1)).expect_err("nothing was taken");
    let shown = bench.view(None);
    assert_eq!(shown.decline.map(|fault| fault.code), Some("51".to_owned()));
    bench.check();
}

/// What is registered as declined, or as cancelled elsewhere, is so in the batch that registers it.
#[test]
fn what_is_off_is_off_from_its_first_batch_on() {
    let fault = requite_core::refund::Fault { code: "51".to_owned(), text: String::new() };
    let declined = Registration { decline: Some(fault), ..registration("manual", &[]) };
    let cancelled = Registration { cancelled_at_ms: Some(NOW), ..registration("manual", &[]) };
    for off in [declined, cancelled] {
        let mut bench = Bench::new();
        let off = Registration { gift_cards: Vec::new(), ..off };
        let heard =
            bench.batch(vec![Command::Register(Box::new(off)), booking(CAPTURE, 200, None)]);
        let refusal = BookingRefusal::Cancelled;
        let refused = Err(CommandError::BookingRefused { refusal, is_replay: false });
        assert_eq!(crate::support::only(&heard[1]), Some(refused));
        bench.check();
    }
}

#[test]
fn an_extension_is_written_down_and_holds_what_was_held() {
    let mut bench = authorized("manual");
    let extended = booked(bench.ask(booking(Booking::Extension, 300, Some(500))));
    let shown = bench.view(None);
    let operation = shown.operation_at(extended.seq).expect("kept");
    assert_eq!((operation.kind, operation.amount), (OperationKind::Extension, minor(500)));
    bench.ask(booking(CAPTURE, 200, Some(10_001))).expect_err("no more than before");
    booked(bench.ask(booking(CAPTURE, 201, None)));
    bench.ask(booking(Booking::Extension, 301, None)).expect_err("nothing is held any more");
    bench.ask(booking(Booking::Extension, 302, Some(-1))).expect_err("no amount of money");
    bench.check();
}

#[test]
fn what_a_face_knows_of_a_capture_is_kept_and_reference_numbers_count() {
    let mut bench = authorized("manual");
    let trace = |given| Trace {
        face: "mpg".to_owned(),
        given_id: Some(given),
        external_identifier: Some("capture-1".to_owned()),
        wants_reference: true,
    };
    for (id, given, number) in [(200_u128, 7_u128, 1_u32), (201, 8, 2)] {
        let Command::Book(request) = booking(CAPTURE, id, Some(1_000)) else { panic!("one") };
        let command = Command::Book(Box::new(BookingRequest { trace: trace(given), ..*request }));
        let booked = booked(bench.ask(command));
        let shown = bench.view(None);
        let operation = shown.operation_at(booked.seq).expect("kept");
        assert_eq!(operation.given_id, Some(given));
        assert_eq!(operation.external_identifier.as_deref(), Some("capture-1"));
        assert_eq!(operation.reference, Some((NOW.div_euclid(86_400_000), number)));
        assert_eq!((operation.face.as_deref(), operation.actor.as_str()), (Some("mpg"), "test"));
    }
    // A refund that wants one counts on.
    let mut refund = request(1, 1_000);
    refund.details.wants_reference = true;
    refund.details.metadata = Some(r#"{"a":"b"}"#.to_owned());
    bench.refund(refund).expect("it fits");
    let shown = bench.view(None);
    let made = shown.refunds.first().expect("made");
    assert_eq!(made.reference.map(|(_, number)| number), Some(3));
    assert_eq!(made.metadata.as_deref(), Some(r#"{"a":"b"}"#));
    bench.check();
}

#[test]
fn one_key_is_one_registration() {
    let mut bench = Bench::new();
    let new = |payment, meaning: &str| {
        let mut new = registration("manual", &[10_000]);
        new.payment = requite_core::id::PaymentId::new(payment);
        new.external_identifier = None;
        new.keys = vec![key("k1", meaning)];
        bench_command(new)
    };
    let first = bench.ask(new(7, "a"));
    let again = bench.ask(new(8, "a"));
    for (reply, is_replay) in [(first, false), (again, true)] {
        let Ok(Reply::Registered(reply)) = reply else { panic!("registered") };
        assert_eq!(reply.registered, Registered::Created(PAYMENT));
        assert_eq!(reply.is_replay, is_replay);
        assert_eq!(reply.as_of, Some(3), "registered, captured, and the gift card taken");
    }
    assert_eq!(bench.ask(new(9, "b")), Err(CommandError::KeyReused));
    // Found there already: the same again, however the payment has moved on.
    let Command::Register(mut twin) = new(7, "a") else { panic!("a registration") };
    twin.keys = vec![key("k2", "a")];
    for is_replay in [false, true] {
        let Ok(Reply::Registered(reply)) = bench.ask(Command::Register(twin.clone())) else {
            panic!("registered")
        };
        assert_eq!((reply.registered, reply.as_of), (Registered::Present(PAYMENT), Some(3)));
        assert_eq!(reply.is_replay, is_replay);
        bench.refund(request(1, 100)).ok();
        bench.restart();
    }
    let all = bench.reads().count_payments(MERCHANT, &PaymentFilter::default());
    assert_eq!(all.expect("counted"), 1);
    bench.check();
}

fn bench_command(new: Registration) -> Command {
    Command::Register(Box::new(new))
}

fn amendment(name: Option<Option<&str>>, metadata: Option<&str>) -> Command {
    Command::Amend(Box::new(Amendment {
        merchant: MERCHANT,
        payment: PAYMENT,
        external_identifier: name.map(|name| name.map(str::to_owned)),
        metadata: metadata.map(str::to_owned),
        actor: "test".to_owned(),
        at_ms: NOW,
    }))
}

/// A replay shows a payment as it was called then; earlier names stay taken, so that an import that
/// is run again finds its payment.
#[test]
fn an_amended_payment_has_a_new_name_and_its_earlier_ones_stay_taken() {
    let mut bench = Bench::with_payment("manual");
    let before = bench.refund(request(1, 1_000)).expect("it fits");
    booked(bench.ask(amendment(Some(Some("order-2")), None)));
    booked(bench.ask(amendment(None, Some(r#"{"a":"b"}"#))));
    let named = |bench: &Bench, as_of| {
        let shown = bench.view(as_of);
        (shown.external_identifier, shown.metadata)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(named(&bench, before.as_of), (text("order-1001"), None));
    assert_eq!(named(&bench, None), (text("order-2"), text(r#"{"a":"b"}"#)));
    let found = |bench: &Bench, name: &str| {
        let filter = PaymentFilter {
            external_identifier: text(name),
            limit: PAGE_MAX,
            ..PaymentFilter::default()
        };
        bench.reads().payments(MERCHANT, &filter).expect("read").len()
    };
    assert_eq!((found(&bench, "order-1001"), found(&bench, "order-2")), (0, 1));
    // The registration again, under its first name.
    let mut again = registration("manual", &[10_000]);
    again.payment = requite_core::id::PaymentId::new(8);
    let Ok(Reply::Registered(reply)) = bench.ask(bench_command(again)) else { panic!("heard") };
    assert_eq!(reply.registered, Registered::Present(PAYMENT));
    // Another payment can have neither name.
    let mut other = registration("manual", &[10_000]);
    other.payment = requite_core::id::PaymentId::new(9);
    other.external_identifier = text("order-2");
    other.fingerprint = [9; 16];
    other.primary.id = requite_core::id::LegId::new(60);
    other.gift_cards.clear();
    let Ok(Reply::Registered(reply)) = bench.ask(bench_command(other.clone())) else {
        panic!("heard")
    };
    assert_eq!(reply.registered, Registered::Differs(PAYMENT));
    other.external_identifier = text("order-3");
    bench.ask(bench_command(other)).expect("registered");
    let taken = bench.ask(amendment(Some(Some("order-3")), None));
    assert_eq!(taken, Ok(Reply::NameTaken(requite_core::id::PaymentId::new(9))));
    // Its own earlier name it can have again, and none at all.
    booked(bench.ask(amendment(Some(Some("order-1001")), None)));
    assert_eq!((found(&bench, "order-1001"), found(&bench, "order-2")), (1, 0));
    booked(bench.ask(amendment(Some(None), None)));
    assert_eq!(named(&bench, None), (None, text(r#"{"a":"b"}"#)));
    assert_eq!(found(&bench, "order-1001"), 0);
    bench.check();
}

/// One payment of each stage: authorized, captured and partly given back, released, declined.
fn four_payments() -> Bench {
    let mut bench = Bench::new();
    let rows: [(u128, &str, &[i64], bool, i64); 4] = [
        (1, "manual", &[], false, 3_000),
        (2, "manual", &[4_000], false, 2_000),
        (3, "psp", &[], false, 1_000),
        (4, "manual", &[], true, 4_000),
    ];
    for (id, connector, captures, is_declined, created_at_ms) in rows {
        let mut new = registration(connector, captures);
        new.payment = requite_core::id::PaymentId::new(id);
        new.primary.id = requite_core::id::LegId::new(id * 10);
        new.captures =
            captures.iter().map(|&c| (requite_core::id::CaptureId::new(id), minor(c))).collect();
        new.external_identifier = None;
        new.connector_payment = None;
        new.order = (id == 1).then(|| "order_1".to_owned());
        new.created_at_ms = created_at_ms;
        new.gift_cards.retain(|_| id == 3);
        new.decline = is_declined
            .then(|| requite_core::refund::Fault { code: "05".to_owned(), text: String::new() });
        bench.ask(bench_command(new)).expect("registered");
    }
    let of = |id, command: Command| match command {
        Command::Book(request) => Command::Book(Box::new(BookingRequest {
            payment: requite_core::id::PaymentId::new(id),
            ..*request
        })),
        other => other,
    };
    bench.ask(of(3, booking(Booking::Void, 900, Some(1)))).expect("released");
    let mut refund = request(1, 1_000);
    refund.payment = requite_core::id::PaymentId::new(2);
    refund.ask.at_ms = NOW + 5;
    bench.refund(refund).expect("it fits");
    bench
}

/// Each filter alone.
#[test]
fn payments_are_listed_by_what_is_asked_for() {
    let bench = four_payments();
    let all = || PaymentFilter { limit: PAGE_MAX, ..PaymentFilter::default() };
    let stage = |stage| PaymentFilter { stages: vec![stage], ..all() };
    let ids = |ids: &[u128]| PaymentFilter {
        ids: ids.iter().map(|&id| requite_core::id::PaymentId::new(id)).collect(),
        ..all()
    };
    let updated = PaymentFilter { sort: Sort::Updated, newest_first: true, ..all() };
    let behind = |id, at_ms| PaymentFilter {
        after: Some((requite_core::id::PaymentId::new(id), at_ms)),
        ..updated.clone()
    };
    for (filter, expected) in [
        (all(), vec![1, 2, 3, 4]),
        (PaymentFilter { newest_first: true, limit: 2, ..all() }, vec![4, 3]),
        (PaymentFilter { offset: 1, limit: 2, ..all() }, vec![2, 3]),
        (stage(Stage::Authorized), vec![1]),
        (stage(Stage::Captured), vec![2]),
        (stage(Stage::Voided), vec![3]),
        (stage(Stage::Declined), vec![4]),
        (ids(&[4, 1, 77]), vec![1, 4]),
        (PaymentFilter { order: Some("order_1".to_owned()), ..all() }, vec![1]),
        (PaymentFilter { connector: Some("psp".to_owned()), ..all() }, vec![3]),
        (PaymentFilter { currencies: vec!["EUR".to_owned()], ..all() }, vec![]),
        (PaymentFilter { has_refunds: Some(true), ..all() }, vec![2]),
        (PaymentFilter { has_refunds: Some(false), ..all() }, vec![1, 3, 4]),
        (PaymentFilter { has_gift_cards: Some(true), ..all() }, vec![3]),
        (
            PaymentFilter { created_from_ms: Some(2_000), created_until_ms: Some(4_000), ..all() },
            vec![1, 2],
        ),
        (PaymentFilter { updated_from_ms: Some(NOW), ..all() }, vec![2, 3]),
        (PaymentFilter { amount_from: Some(10_001), ..all() }, vec![]),
        (updated.clone(), vec![2, 3, 4, 1]),
        (behind(3, NOW), vec![4, 1]),
        (behind(4, 4_000), vec![1]),
    ] {
        let listed = bench.reads().payments(MERCHANT, &filter).expect("read");
        let listed: Vec<u128> = listed.iter().map(|payment| payment.id.bits()).collect();
        assert_eq!(listed, expected, "{filter:?}");
        let counted = PaymentFilter { offset: 0, limit: 0, after: None, ..filter };
        let count = bench.reads().count_payments(MERCHANT, &counted).expect("counted");
        assert!(count >= u64::try_from(expected.len()).expect("few"), "{counted:?}");
    }
    let refunds = |filter: RefundFilter| {
        let filter = RefundFilter { limit: PAGE_MAX, ..filter };
        bench.reads().refunds(MERCHANT, &filter).expect("read").len()
    };
    let at = Some(NOW + 5);
    assert_eq!(refunds(RefundFilter { settled_from_ms: at, ..RefundFilter::default() }), 1);
    assert_eq!(refunds(RefundFilter { settled_until_ms: at, ..RefundFilter::default() }), 0);
    assert_eq!(refunds(RefundFilter { sent_from_ms: Some(0), ..RefundFilter::default() }), 0);
    bench.check();
}

/// Created at 3000, 2000, 1000 and 4000 ms; the second and third were changed since.
#[test]
fn payments_are_listed_and_counted_by_creation() {
    let bench = four_payments();
    let oldest = PaymentFilter { sort: Sort::Created, limit: PAGE_MAX, ..PaymentFilter::default() };
    let newest = PaymentFilter { newest_first: true, ..oldest.clone() };
    let behind = |filter: &PaymentFilter, id, at_ms| PaymentFilter {
        after: Some((requite_core::id::PaymentId::new(id), at_ms)),
        ..filter.clone()
    };
    let changed = PaymentFilter { updated_from_ms: Some(NOW), ..newest.clone() };
    let first = PaymentFilter { created_until_ms: Some(3_000), ..oldest.clone() };
    for (filter, expected, count) in [
        (oldest.clone(), vec![3, 2, 1, 4], 4),
        (newest.clone(), vec![4, 1, 2, 3], 4),
        (PaymentFilter { offset: 1, limit: 2, ..newest.clone() }, vec![1, 2], 4),
        (behind(&oldest, 2, 2_000), vec![1, 4], 4),
        (behind(&newest, 1, 3_000), vec![2, 3], 4),
        (first, vec![3, 2], 2),
        (changed.clone(), vec![2, 3], 2),
        (PaymentFilter { amount_from: Some(1), ..changed.clone() }, vec![2, 3], 2),
        (PaymentFilter { stages: vec![Stage::Voided], ..changed }, vec![3], 1),
    ] {
        let listed = bench.reads().payments(MERCHANT, &filter).expect("read");
        let listed: Vec<u128> = listed.iter().map(|payment| payment.id.bits()).collect();
        assert_eq!(listed, expected, "{filter:?}");
        let counted = bench.reads().count_payments(MERCHANT, &filter).expect("counted");
        assert_eq!(counted, count, "{filter:?}");
    }
}

/// A card number that somebody typed where none belongs is nowhere on disk.
#[test]
fn card_numbers_reach_no_store() {
    const NUMBER: &str = "4242424242424242";
    let mut bench = Bench::new();
    let mut new = registration("manual", &[10_000]);
    new.description = Some(format!("paid with {NUMBER}"));
    new.profile = format!(r#"{{"memo":{NUMBER}}}"#);
    bench.ask(bench_command(new)).expect("registered");
    let mut refund = request(1, 1_000);
    refund.details.note = Some(format!("back to {NUMBER}"));
    refund.details.reason_text = Some("4242 4242 4242 4242".to_owned());
    refund.details.metadata = Some(format!(r#"{{"card":"{NUMBER}","as":{NUMBER}}}"#));
    refund.details.key_text = Some(NUMBER.to_owned());
    bench.refund(refund).expect("it fits");
    bench.ask(amendment(None, Some(&format!(r#"{{"{NUMBER}":1}}"#)))).expect("amended");
    let shown = bench.view(None);
    let made = shown.refunds.first().expect("made");
    assert_eq!(made.note.as_deref(), Some("back to 424242******4242"));
    assert_eq!(made.reason_text.as_deref(), Some("4242 42** **** 4242"));
    let metadata = r#"{"card":"424242******4242","as":4242420000004242}"#;
    assert_eq!(made.metadata.as_deref(), Some(metadata));
    assert_eq!(shown.description.as_deref(), Some("paid with 424242******4242"));
    assert_eq!(shown.metadata.as_deref(), Some(r#"{"424242******4242":1}"#));
    bench.restart();
    for bytes in bench.place.contents() {
        let has_it = |number: &[u8]| bytes.windows(number.len()).any(|window| window == number);
        assert!(!has_it(NUMBER.as_bytes()) && !has_it(b"4242 4242 4242 4242"));
    }
    bench.check();
}
