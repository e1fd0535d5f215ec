use requite_core::id::{LegId, MerchantId, PaymentId, RefundId};
use requite_core::refund::Status;
use requite_engine::command::{Amendment, Booking, Command, RefundRef, RefundRequest, Wait};
use requite_engine::fault;
use requite_engine::read::{PaymentFilter, Reads, RefundFilter, RefundOfPayment};

use crate::support::{
    Bench, MERCHANT, NOW, PAYMENT, booking, of, registration, request, succeeded,
};

#[test]
fn a_payment_can_be_read_as_it_was_after_any_of_its_events() {
    let mut bench = Bench::with_payment("psp");
    let mut shown = vec![bench.view(None)];
    bench.start(request(1, 4_000));
    shown.push(bench.view(None));
    bench.answer(succeeded());
    shown.push(bench.view(None));
    bench.start(request(2, 6_000));
    shown.push(bench.view(None));
    for view in &shown {
        let again = bench.view(Some(view.seq));
        assert_eq!(&again, view, "as of event {}", view.seq);
    }
    assert_eq!(shown.last().map(|view| view.seq), Some(bench.view(Some(u32::MAX)).seq));
}

/// An answer reads only the refund that it tells of.
#[test]
fn a_refund_alone_is_shown_as_among_the_others() {
    let mut bench = Bench::with_payment("psp");
    for (id, amount) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
        bench.start(request(id, amount));
        if id != 2 {
            bench.answer(succeeded());
        }
    }
    let newest = bench.view(None).seq;
    let reads = bench.reads();
    for as_of in (0..=newest + 1).map(Some).chain([None]) {
        let payment = bench.view(as_of);
        for id in [1, 2, 3] {
            let alone = reads.refund_as_of(of(id), as_of).expect("readable");
            let among = payment.refund(RefundId::new(id));
            let among = among.map(|refund| RefundOfPayment::of(&payment, refund));
            assert_eq!(alone, among, "refund {id} as of {as_of:?}");
        }
    }
    let elsewhere = RefundRef { payment: PaymentId::new(8), ..of(1) };
    assert_eq!(reads.refund_as_of(elsewhere, None).expect("readable"), None);
    assert!(reads.has_payment(MERCHANT, PAYMENT).expect("readable"));
    assert!(!reads.has_payment(MerchantId::new(2), PAYMENT).expect("readable"));
}

/// Forty payments that have everything that hangs on a payment, in parts; their ids.
fn many(bench: &mut Bench) -> Vec<PaymentId> {
    for number in 0..40_u128 {
        let mut new = registration("psp", &[1_000, 2_000]);
        new.payment = PaymentId::new(1_000 + number);
        new.primary.id = LegId::new(2_000 + number);
        new.gift_cards.iter_mut().for_each(|card| card.id = LegId::new(3_000 + number));
        new.external_identifier = Some(format!("order-{number}"));
        new.aliases = vec![format!("ch_{number}"), "ch_of_all".to_owned()];
        bench.ask(Command::Register(Box::new(new))).expect("registered");
        let book =
            |what, part: u128, amount| match booking(what, 4_000 + 10 * number + part, amount) {
                Command::Book(mut book) => {
                    book.payment = PaymentId::new(1_000 + number);
                    Command::Book(book)
                }
                other => other,
            };
        if number % 3 != 0 {
            bench.ask(book(Booking::Capture { is_final: false }, 0, Some(700))).expect("captured");
        }
        if number % 4 == 1 {
            bench.ask(book(Booking::Void, 1, Some(500))).expect("released");
        }
        let amend = Amendment {
            merchant: MERCHANT,
            payment: PaymentId::new(1_000 + number),
            external_identifier: (number % 2 == 0).then(|| Some(format!("renamed-{number}"))),
            metadata: (number % 5 == 0).then(|| format!(r#"{{"number":{number}}}"#)),
            actor: "test".to_owned(),
            at_ms: NOW,
        };
        bench.ask(Command::Amend(Box::new(amend))).expect("amended");
        for part in 0..number % 3 {
            let mut wish = request(5_000 + 10 * number + part, 1_100);
            wish.payment = PaymentId::new(1_000 + number);
            bench.start(wish);
            if part == 0 {
                bench.answer(succeeded());
            }
        }
    }
    (0..40).map(|number| PaymentId::new(1_000 + number)).collect()
}

/// A page is as dear as one payment, and shows each as it is shown alone.
#[test]
fn a_page_of_payments_takes_as_many_statements_as_one_payment() {
    let mut bench = Bench::new();
    let ids = many(&mut bench);
    let reads = bench.reads();
    let page = |limit| {
        let filter = PaymentFilter { limit, offset: 1, ..PaymentFilter::default() };
        fault::fail_at(None);
        let views = reads.payments(MERCHANT, &filter).expect("readable");
        (views, fault::passed())
    };
    let ((one, few), (all, many)) = (page(1), page(39));
    assert_eq!((one.len(), all.len()), (1, 39));
    assert_eq!(few, many);
    assert!((8..=11).contains(&many), "{many} statements");
    for (view, id) in all.iter().zip(&ids[1..]) {
        let alone = reads.payment(MERCHANT, *id, None).expect("readable");
        assert_eq!(Some(view), alone.as_ref());
    }
    assert!(all.iter().any(|view| view.refunds.len() == 2), "there is something to be mixed up");
}

/// Four refunds, of 10, 20, 30 and 40, asked for a millisecond apart; and what each filter lists.
fn lists(rows: Vec<(RefundFilter, Vec<i64>)>) {
    let mut bench = Bench::with_payment("manual");
    for (id, amount) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
        let mut asked = RefundRequest { wait: Wait::Acceptance, ..request(id, amount) };
        asked.ask.at_ms = NOW + i64::try_from(id).expect("small");
        bench.ask(Command::Refund(Box::new(asked))).expect("made");
    }
    let reads = bench.reads();
    for (filter, expected) in rows {
        let refunds = reads.refunds(MERCHANT, &filter).expect("readable");
        let amounts: Vec<i64> = refunds.iter().map(|refund| refund.amount.units()).collect();
        assert_eq!(amounts, expected, "{filter:?}");
    }
}

fn all() -> RefundFilter {
    RefundFilter { limit: 100, ..RefundFilter::default() }
}

#[test]
fn lists_page_by_key() {
    lists(vec![
        (RefundFilter { limit: 2, ..all() }, vec![10, 20]),
        (RefundFilter { after: Some((RefundId::new(2), 0)), ..all() }, vec![30, 40]),
        (RefundFilter { newest_first: true, limit: 2, ..all() }, vec![40, 30]),
        (
            RefundFilter { newest_first: true, after: Some((RefundId::new(2), 0)), ..all() },
            vec![10],
        ),
    ]);
}

#[test]
fn lists_keep_to_their_filter() {
    lists(vec![
        (RefundFilter { statuses: vec![Status::Succeeded], ..all() }, vec![10, 20, 30, 40]),
        (RefundFilter { statuses: vec![Status::Unknown], ..all() }, vec![]),
        (RefundFilter { amount_from: Some(20), amount_until: Some(30), ..all() }, vec![20, 30]),
        (RefundFilter { asked_from_ms: Some(NOW + 4), ..all() }, vec![40]),
        (RefundFilter { asked_until_ms: Some(NOW + 2), ..all() }, vec![10]),
        (RefundFilter { payment: Some(PaymentId::new(99)), ..all() }, vec![]),
        (RefundFilter { customer: Some("cus_1".to_owned()), ..all() }, vec![]),
        (RefundFilter { order: Some("order_1".to_owned()), ..all() }, vec![]),
        (RefundFilter { currencies: vec!["EUR".to_owned()], ..all() }, vec![]),
        (RefundFilter { currencies: vec!["USD".to_owned()], limit: 1, ..all() }, vec![10]),
        (RefundFilter { updated_from_ms: Some(NOW + 3), ..all() }, vec![30, 40]),
        (RefundFilter { updated_until_ms: Some(NOW + 3), ..all() }, vec![10, 20]),
    ]);
}

#[test]
fn another_merchants_rows_do_not_exist() {
    let mut bench = Bench::with_payment("manual");
    bench.refund(request(1, 10)).expect("made");
    let reads = bench.reads();
    let all = RefundFilter { limit: 100, ..RefundFilter::default() };
    let other = MerchantId::new(2);
    assert_eq!(reads.refunds(other, &all).expect("readable"), []);
    assert_eq!(reads.refund(other, of(1).refund).expect("readable"), None);
    assert_eq!(reads.payment(other, PAYMENT, None).expect("readable"), None);
    assert_eq!(reads.payment_named(other, "ch_3Oabc").expect("readable"), None);
    assert_eq!(reads.payment_named(MERCHANT, "ch_3Oabc").expect("readable"), Some(PAYMENT));
    assert_eq!(reads.payment_named(MERCHANT, "pi_1").expect("readable"), Some(PAYMENT));
    let payments = PaymentFilter { limit: 10, ..PaymentFilter::default() };
    assert_eq!(reads.payments(other, &payments).expect("readable"), []);
    assert_eq!(reads.payments(MERCHANT, &payments).expect("readable").len(), 1);
}
