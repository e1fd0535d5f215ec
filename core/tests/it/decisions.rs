use requite_core::decide::{
    Amount, Ask, BookingRefusal, Plan, Refusal, Target, capture, decide, extend, is_provisional,
    release,
};
use requite_core::id::{CaptureId, LegId, PaymentId};
use requite_core::journal::{Account, Entry};
use requite_core::money::Decimal;
use requite_core::payment::{CAPTURES_MAX, LegKind, Overdrawn, Payment};
use requite_core::refund::Status;

use crate::support::{Taken, ask, currency, leg, minor, payment};

fn major(text: &str) -> Amount {
    Amount::Major(Decimal::parse(text).expect("the row is a number"))
}

fn check(captures: &[Taken], amount: Amount, expected: Result<i64, Refusal>) {
    let payment = payment("USD", 10_000, captures);
    let got = decide(&payment, &ask(amount.clone()), false);
    let got = got.map(|plan| plan.refund.amount.units());
    assert_eq!(got, expected, "{captures:?} {amount:?}");
}

fn exceeds(asked: i64, left: i64) -> Result<i64, Refusal> {
    Err(Refusal::ExceedsLeft { asked: Some(minor(asked)), left: minor(left) })
}

#[test]
fn what_is_left_may_be_refunded_and_no_more() {
    check(&[(10_000, 0, 0)], Amount::Minor(10_000), Ok(10_000));
    check(&[(10_000, 0, 0)], Amount::Minor(1), Ok(1));
    check(&[(10_000, 0, 0)], Amount::Minor(10_001), exceeds(10_001, 10_000));
    check(&[(10_000, 4_000, 0)], Amount::Minor(6_000), Ok(6_000));
    check(&[(10_000, 4_000, 0)], Amount::Minor(6_001), exceeds(6_001, 6_000));
    check(&[(10_000, 0, 9_000)], Amount::Minor(2_000), exceeds(2_000, 1_000));
    check(&[(10_000, 2_500, 500)], Amount::Remaining, Ok(7_000));
    check(&[(3_000, 0, 0), (5_000, 0, 0)], Amount::Minor(8_000), Ok(8_000));
    check(&[(3_000, 0, 0), (5_000, 0, 0)], Amount::Minor(8_001), exceeds(8_001, 8_000));
    let too_much = Err(Refusal::ExceedsLeft { asked: None, left: minor(10_000) });
    check(&[(10_000, 0, 0)], Amount::Minor(i64::MAX), too_much.clone());
    check(&[(10_000, 0, 0)], major("1e21"), too_much);
}

#[test]
fn whole_means_all_of_it_or_nothing() {
    check(&[(10_000, 0, 0)], Amount::Whole, Ok(10_000));
    check(&[(10_000, 1, 0)], Amount::Whole, exceeds(10_000, 9_999));
    check(&[(9_999, 0, 0)], Amount::Whole, exceeds(10_000, 9_999));
}

#[test]
fn major_units_are_exact_or_an_echo_of_what_is_left() {
    check(&[(10_000, 0, 0)], major("100"), Ok(10_000));
    check(&[(10_000, 0, 0)], major("33.333"), Err(Refusal::Fraction { currency: currency("USD") }));
    check(&[(10_000, 6_970, 0)], major("30.299999999999997"), Ok(3_030));
    check(&[(10_000, 0, 0)], major("100.01"), exceeds(10_001, 10_000));
    check(
        &[(10_000, 0, 0)],
        major("100.011"),
        Err(Refusal::ExceedsLeft { asked: None, left: minor(10_000) }),
    );
    check(&[(10_000, 0, 0)], major("0"), Err(Refusal::NotPositive));
    check(&[(10_000, 0, 0)], major("-1"), Err(Refusal::NotPositive));
}

/// The order is a promise: a caller that mends one complaint must not meet an earlier one.
#[test]
fn refuses_in_the_documented_order() {
    let other = |code, amount| Ask { currency: Some(currency(code)), ..ask(amount) };
    let uncaptured = payment("EUR", 900, &[]);
    let spent = payment("EUR", 900, &[(900, 900, 0)]);
    let fresh = payment("EUR", 900, &[(900, 0, 0)]);
    let legs = vec![leg(1, LegKind::PaymentMethod, 900, &[(900, 900, 0)])];
    let cancelled =
        Payment::new(PaymentId::new(7), currency("EUR"), true, legs).expect("a payment");
    let nowhere = Ask { target: Target::Leg(LegId::new(99)), ..other("JPY", Amount::Minor(0)) };
    let rows = [
        (&uncaptured, nowhere, Refusal::LegUnknown),
        (&uncaptured, other("JPY", Amount::Minor(0)), Refusal::NotCaptured),
        (&cancelled, other("JPY", Amount::Minor(0)), Refusal::Cancelled),
        (&spent, other("JPY", Amount::Minor(0)), Refusal::NothingLeft),
        (
            &fresh,
            other("JPY", Amount::Minor(0)),
            Refusal::CurrencyDiffers { asked: currency("JPY"), payment: currency("EUR") },
        ),
        (&fresh, other("EUR", Amount::Minor(0)), Refusal::NotPositive),
        (&fresh, other("EUR", Amount::Minor(-1)), Refusal::NotPositive),
        (
            &fresh,
            other("EUR", Amount::Minor(901)),
            Refusal::ExceedsLeft { asked: Some(minor(901)), left: minor(900) },
        ),
    ];
    for (payment, ask, refusal) in rows {
        assert_eq!(decide(payment, &ask, false), Err(refusal));
    }
}

/// A refusal rests on what is perhaps not known yet where, and only where, all that open refunds hold
/// would make room for it.
#[test]
fn a_refusal_that_open_refunds_cause_may_fall_with_them() {
    let legs = vec![
        leg(1, LegKind::PaymentMethod, 10_000, &[(10_000, 3_000, 6_000)]),
        leg(2, LegKind::GiftCard, 500, &[(500, 500, 0)]),
    ];
    let mixed = Payment::new(PaymentId::new(7), currency("USD"), false, legs).expect("sound");
    let held = payment("USD", 10_000, &[(10_000, 3_000, 7_000)]);
    let card = |amount| Ask { target: Target::Leg(LegId::new(2)), ..ask(amount) };
    let nowhere = Ask { target: Target::Leg(LegId::new(99)), ..ask(Amount::Remaining) };
    let yen = Ask { currency: Some(currency("JPY")), ..ask(Amount::Minor(1)) };
    for (payment, ask, expected) in [
        (&held, ask(Amount::Minor(1)), true),
        (&held, ask(Amount::Remaining), true),
        (&mixed, ask(Amount::Minor(1_001)), true),
        (&mixed, ask(Amount::Minor(7_000)), true),
        (&mixed, ask(Amount::Minor(7_001)), false),
        (&mixed, ask(Amount::Minor(i64::MAX)), false),
        (&mixed, ask(Amount::Whole), false),
        (&mixed, card(Amount::Minor(1)), false),
        (&mixed, nowhere, false),
        (&mixed, yen, false),
        (&mixed, ask(Amount::Minor(0)), false),
        (&mixed, ask(major("0.001")), false),
    ] {
        let refusal = decide(payment, &ask, false).expect_err("none of them fits");
        assert_eq!(is_provisional(payment, &ask, &refusal), expected, "{ask:?} {refusal:?}");
    }
}

#[test]
fn a_refund_is_split_over_captures_oldest_first() {
    let payment = payment("USD", 10_000, &[(3_000, 1_000, 0), (500, 500, 0), (5_000, 0, 0)]);
    let Plan { refund, entries } =
        decide(&payment, &ask(Amount::Minor(6_500)), false).expect("it fits");
    let parts: Vec<_> =
        refund.allocations.iter().map(|part| (part.capture, part.amount.units())).collect();
    assert_eq!(parts, [(CaptureId::new(101), 2_000), (CaptureId::new(103), 4_500)]);
    let moves: Vec<_> = entries.iter().map(|e| (e.debit, e.credit, e.amount.units())).collect();
    assert_eq!(
        moves,
        [
            (Account::Refundable, Account::Reserved, 2_000),
            (Account::Refundable, Account::Reserved, 4_500)
        ]
    );
    assert_eq!(refund.status, Status::Ready);
    assert_eq!(refund.next_action_at_ms, Some(1_000_000));
}

#[test]
fn where_nobody_is_called_accepting_is_succeeding() {
    let mut payment = payment("USD", 10_000, &[(10_000, 0, 0)]);
    let plan = decide(&payment, &ask(Amount::Minor(4_000)), true).expect("it fits");
    assert_eq!(plan.refund.status, Status::Succeeded);
    assert_eq!(plan.refund.next_action_at_ms, None);
    payment.post(&plan.entries).expect("a plan fits the payment it was made for");
    assert_eq!(payment.primary().refunded(), minor(4_000));
    assert_eq!(payment.primary().reserved(), minor(0));
    assert_eq!(payment.primary().refundable(), minor(6_000));
}

#[test]
fn a_gift_card_is_refunded_by_its_own_leg() {
    let legs = vec![
        leg(1, LegKind::PaymentMethod, 1_000, &[(1_000, 1_000, 0)]),
        leg(2, LegKind::GiftCard, 2_500, &[(2_500, 0, 0)]),
    ];
    let payment = Payment::new(PaymentId::new(7), currency("EUR"), false, legs).expect("sound");
    let listed: Vec<_> = payment.legs().iter().map(|leg| (leg.id(), leg.kind())).collect();
    assert_eq!(
        listed,
        [(LegId::new(1), LegKind::PaymentMethod), (LegId::new(2), LegKind::GiftCard)]
    );
    assert_eq!(decide(&payment, &ask(Amount::Remaining), false), Err(Refusal::NothingLeft));
    let card = Ask { target: Target::Leg(LegId::new(2)), ..ask(Amount::Remaining) };
    let plan = decide(&payment, &card, false).expect("the card has all of it");
    assert_eq!((plan.refund.leg, plan.refund.amount), (LegId::new(2), minor(2_500)));
}

#[test]
fn captures_and_releases_share_what_was_authorised() {
    let payment = payment("SAR", 10_000, &[(6_000, 0, 0)]);
    let id = CaptureId::new(500);
    let taken = |asked| capture(&payment, id, asked).map(|entry| entry.amount.units());
    assert_eq!(taken(None), Ok(4_000));
    assert_eq!(taken(Some(4_000)), Ok(4_000));
    let capturable = minor(4_000);
    let exceeds = |asked| BookingRefusal::ExceedsCapturable { asked, capturable };
    assert_eq!(taken(Some(4_001)), Err(exceeds(Some(minor(4_001)))));
    assert_eq!(taken(Some(i64::MAX)), Err(exceeds(None)));
    assert_eq!(taken(Some(0)), Err(BookingRefusal::NotPositive));
    assert_eq!(release(&payment, Some(1_000)), Ok(minor(1_000)));
    let mut less = payment.clone();
    less.release(less.primary().id(), minor(4_000)).expect("it is capturable");
    assert_eq!(
        capture(&less, id, None),
        Err(BookingRefusal::ExceedsCapturable { asked: None, capturable: minor(0) })
    );
}

#[test]
fn nothing_is_booked_on_a_cancelled_payment() {
    let legs = vec![leg(1, LegKind::PaymentMethod, 900, &[])];
    let gone = Payment::new(PaymentId::new(7), currency("EUR"), true, legs).expect("a payment");
    let refused = BookingRefusal::Cancelled;
    assert_eq!(capture(&gone, CaptureId::new(1), Some(1)), Err(refused));
    assert_eq!(release(&gone, Some(1)), Err(refused));
    assert_eq!(extend(&gone, Some(1)), Err(refused));
}

#[test]
fn a_payment_has_so_many_captures_and_not_one_more() {
    let mut full = payment("EUR", 10_000, &vec![(1, 0, 0); CAPTURES_MAX - 1]);
    let id = CaptureId::new(9_999);
    let leg = full.primary().id();
    assert!(capture(&full, id, Some(1)).is_ok());
    full.open_capture(leg, id).expect("one more");
    let next = CaptureId::new(10_000);
    assert_eq!(capture(&full, next, Some(1)), Err(BookingRefusal::TooMany));
    assert_eq!(full.open_capture(leg, next), None);
    assert_eq!(full.primary().captures().len(), CAPTURES_MAX);
}

#[test]
fn an_extension_says_how_much_more_is_wished_for_and_takes_nothing() {
    let open = payment("SAR", 10_000, &[(6_000, 0, 0)]);
    let capturable = minor(4_000);
    for (asked, expected) in [
        (None, Ok(minor(0))),
        (Some(0), Ok(minor(0))),
        (Some(1), Ok(minor(1))),
        (Some(99_999), Ok(minor(99_999))),
        (Some(-1), Err(BookingRefusal::NotPositive)),
        (Some(i64::MAX), Err(BookingRefusal::ExceedsCapturable { asked: None, capturable })),
    ] {
        assert_eq!(extend(&open, asked), expected, "{asked:?}");
    }
    let taken = payment("SAR", 10_000, &[(10_000, 0, 0)]);
    let nothing = BookingRefusal::ExceedsCapturable { asked: None, capturable: minor(0) };
    assert_eq!(extend(&taken, Some(1)), Err(nothing));
}

#[test]
fn what_is_let_go_of_a_capture_is_not_refundable() {
    let mut open = payment("SAR", 10_000, &[(6_000, 0, 0)]);
    let capture = open.primary().captures()[0].id;
    let void = Entry::new(capture, Account::Refundable, Account::PspClearing, minor(1_000));
    open.post(&[void]).expect("it is there");
    let sums = open.primary().captures()[0].balance.sums();
    assert_eq!((sums.voided, sums.captured), (minor(1_000), minor(6_000)));
    assert_eq!(open.primary().refundable(), minor(5_000));
    let leg = open.primary().id();
    open.release(leg, minor(4_000)).expect("it was not taken");
    assert_eq!((open.primary().released(), open.primary().capturable()), (minor(4_000), minor(0)));
    assert_eq!(open.release(leg, minor(1)), None);
}

#[test]
fn disputed_money_is_held_until_it_is_let_go() {
    let mut open = payment("SAR", 10_000, &[(6_000, 0, 0)]);
    let capture = open.primary().captures()[0].id;
    let entry = |debit, credit, units| Entry::new(capture, debit, credit, minor(units));
    let hold = |units| entry(Account::Refundable, Account::Disputed, units);
    let let_go = |units| entry(Account::Disputed, Account::Refundable, units);
    open.post(&[hold(4_000)]).expect("it is there");
    assert_eq!(open.primary().refundable(), minor(2_000));
    let before = open.clone();
    for beyond in [hold(2_001), let_go(4_001)] {
        assert_eq!(open.post(&[beyond]), Err(Overdrawn(beyond)));
        assert_eq!(open, before);
    }
    open.post(&[let_go(4_000)]).expect("it was held");
    assert_eq!(open.primary().captures()[0].balance.sums().disputed, minor(0));
    assert_eq!(open.primary().refundable(), minor(6_000));
}

#[test]
fn no_entry_takes_more_than_was_authorised() {
    let mut full = payment("SAR", 1_000, &[(900, 0, 0)]);
    let (leg, id) = (full.primary().id(), CaptureId::new(500));
    full.open_capture(leg, id).expect("few captures");
    let take = |units| Entry::new(id, Account::PspClearing, Account::Refundable, minor(units));
    let before = full.clone();
    assert_eq!(full.post(&[take(101)]), Err(Overdrawn(take(101))));
    assert_eq!(full, before, "all entries or none");
    full.post(&[take(100)]).expect("the rest");
    assert_eq!(full.primary().captured(), minor(1_000));
}
