//! Wishes that meet on one payment (F27, F28): two refunds, or refunds with captures, voids and what a PSP
//! takes back, asked for in one batch, and by two lanes on one store at the same time.
//!
//! What became of each payment must be what some order of its wishes comes to, by arithmetic that stands here
//! and knows nothing of ours. `REQUITE_PAIRS` asks for more of them.

use std::sync::Barrier;

use requite_core::decide::{Amount, Ask};
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{
    Booking, BookingRequest, Command, CommandError, Details, Mark, NewLeg, Notice, Noticed,
    RefundRef, RefundRequest, Registration, Reply, Trace, Trust, Wait,
};
use requite_engine::lane::Lane;
use requite_engine::psp::Instruction;
use requite_engine::read::Reads;
use requite_engine::store::Store;

use crate::support::{
    Heard, MERCHANT, NOW, Place, TestConnectors, booking, declined, minor, only, registration,
    request, send_batch, succeeded, times,
};

/// Authorised; what of it is captured differs.
const AUTHORISED: i64 = 10_000;
/// Payments whose wishes meet in one batch.
const MET_AT_ONCE: u128 = 64;

/// What somebody wants of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// `None`: all that is left.
    Refund(Option<i64>),
    Capture(Option<i64>),
    Void(Option<i64>),
    /// The payer's bank takes the side of the payer: the refund that was there before fails, whether the PSP
    /// was still asked or had said that it is paid.
    Disputed,
}

/// A payment's money, counted by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purse {
    captured: i64,
    released: i64,
    /// Given back, or promised.
    held: i64,
    /// The part of it that a dispute gives back.
    earlier: i64,
}

impl Purse {
    /// Is the wish granted? Then the purse is changed.
    fn grant(&mut self, wish: Wish) -> bool {
        let (left, open) = (self.captured - self.held, AUTHORISED - self.captured - self.released);
        let (asked, most, sum) = match wish {
            Wish::Refund(asked) => (asked, left, &mut self.held),
            Wish::Capture(asked) => (asked, open, &mut self.captured),
            Wish::Void(asked) => (asked, open, &mut self.released),
            Wish::Disputed => {
                self.held -= std::mem::take(&mut self.earlier);
                return true;
            }
        };
        let amount = asked.unwrap_or(most);
        let is_granted = amount > 0 && amount <= most;
        *sum += if is_granted { amount } else { 0 };
        is_granted
    }
}

/// What became of wishes: who was granted theirs, and the money afterwards.
type End = (Vec<bool>, Purse);

/// Every end that the wishes of two can come to, each keeping to its own order. What was granted stands in the
/// order first `ours`, then `theirs`.
fn ends(purse: Purse, ours: &[Wish], theirs: &[Wish]) -> Vec<End> {
    let of_next = |next: Wish, ours: &[Wish], theirs: &[Wish], place: usize| {
        let mut after = purse;
        let is_granted = after.grant(next);
        let insert = |(mut granted, purse): End| {
            granted.insert(place, is_granted);
            (granted, purse)
        };
        ends(after, ours, theirs).into_iter().map(insert).collect::<Vec<End>>()
    };
    let mut all = Vec::new();
    if let Some((next, rest)) = ours.split_first() {
        all.extend(of_next(*next, rest, theirs, 0));
    }
    if let Some((next, rest)) = theirs.split_first() {
        all.extend(of_next(*next, ours, rest, ours.len()));
    }
    if ours.is_empty() && theirs.is_empty() {
        all.push((Vec::new(), purse));
    }
    all
}

/// A payment before its wishes meet.
#[derive(Clone, Debug)]
struct Meeting {
    payment: u128,
    connector: &'static str,
    purse: Purse,
    /// Of each of the two.
    wishes: [Vec<Wish>; 2],
    /// The earlier refund's call is under way still.
    is_open: bool,
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn amount(&mut self) -> Option<i64> {
        // Often as much as all, or about half of it, so that two of them meet at the edge.
        let amount = match self.below(6) {
            0 => return None,
            1 => 4_000,
            2 => 10_000,
            3 => 2_000 + self.below(3),
            4 => 5_000 + self.below(2),
            _ => 1 + self.below(10_000),
        };
        Some(i64::try_from(amount).expect("a small number"))
    }

    /// Two refunds: full and full, full and partial, partial and partial.
    fn pair(&mut self, payment: u128) -> Meeting {
        let connector = if self.below(2) == 0 { "manual" } else { "psp" };
        let captured = if self.below(2) == 0 { AUTHORISED } else { 4_000 };
        let purse = Purse { captured, released: 0, held: 0, earlier: 0 };
        let wishes = [(); 2].map(|()| vec![Wish::Refund(self.amount())]);
        Meeting { payment, connector, purse, wishes, is_open: false }
    }

    /// Refunds with everything else, a few of each side.
    fn mix(&mut self, payment: u128) -> Meeting {
        let captured = [4_000, 6_000, AUTHORISED][usize::try_from(self.below(3)).expect("small")];
        let earlier = if self.below(2) == 0 { 1_500 } else { 0 };
        let purse = Purse { captured, released: 0, held: earlier, earlier };
        let mut wishes = [vec![Wish::Refund(self.amount())], Vec::new()];
        for number in 0..=self.below(3) {
            let wish = match self.below(6) {
                0 | 1 => Wish::Void(self.amount()),
                2 | 3 => Wish::Capture(self.amount()),
                // Told once: it comes of one refund.
                4 if earlier > 0 && !wishes.concat().contains(&Wish::Disputed) => Wish::Disputed,
                _ => Wish::Refund(self.amount()),
            };
            wishes[usize::from(number != 1)].push(wish);
        }
        let is_open = earlier > 0 && self.below(2) == 0;
        Meeting { payment, connector: "psp", purse, wishes, is_open }
    }
}

impl Meeting {
    fn of(&self) -> (MerchantId, PaymentId) {
        (MERCHANT, PaymentId::new(self.payment))
    }

    /// The id of the so-manieth thing about this payment.
    fn id(&self, number: usize) -> u128 {
        (self.payment << 32) + u128::try_from(number).expect("small")
    }

    fn earlier(&self) -> RefundRef {
        let (merchant, payment) = self.of();
        RefundRef { merchant, payment, refund: RefundId::new(self.id(0)) }
    }

    fn register(&self) -> Command {
        Command::Register(Box::new(Registration {
            payment: PaymentId::new(self.payment),
            external_identifier: None,
            gift_cards: Vec::new(),
            aliases: Vec::new(),
            primary: NewLeg { id: LegId::new(self.id(0)), amount: minor(AUTHORISED) },
            captures: vec![(CaptureId::new(self.id(0)), minor(self.purse.captured))],
            ..registration(self.connector, &[])
        }))
    }

    fn refund(&self, number: usize, amount: Option<i64>) -> Command {
        let plain = request(self.id(number), 0);
        let amount = amount.map_or(Amount::Remaining, Amount::Minor);
        Command::Refund(Box::new(RefundRequest {
            payment: PaymentId::new(self.payment),
            ask: Ask { amount, ..plain.ask },
            details: Details { ..plain.details },
            wait: Wait::Acceptance,
            ..plain
        }))
    }

    fn outcome(&self, outcome: Outcome) -> Command {
        let finding = Finding { attempt: 1, outcome, at_ms: NOW + 10 };
        Command::Settle { refund: self.earlier(), finding }
    }

    fn command(&self, number: usize, wish: Wish) -> Command {
        let book = |booked: Booking, amount: Option<i64>| {
            let Command::Book(plain) = booking(booked, self.id(number), amount) else {
                unreachable!("it makes a booking")
            };
            let payment = PaymentId::new(self.payment);
            Command::Book(Box::new(BookingRequest { payment, trace: Trace::default(), ..*plain }))
        };
        match wish {
            Wish::Refund(amount) => self.refund(number, amount),
            Wish::Capture(amount) => book(Booking::Capture { is_final: false }, amount),
            Wish::Void(amount) => book(Booking::Void, amount),
            Wish::Disputed if self.is_open => self.outcome(declined()),
            Wish::Disputed => Command::Notice(Box::new(Notice {
                merchant: MERCHANT,
                payment: PaymentId::new(self.payment),
                connector: self.connector.to_owned(),
                mark: Mark::Ours(self.earlier().refund),
                amount: minor(self.purse.earlier),
                currency: registration("psp", &[]).currency,
                outcome: declined(),
                said_at_ms: Some(NOW + 1_000),
                trust: Trust::Evidence,
                fresh: RefundId::new(self.id(99)),
                at_ms: NOW + 1_000,
            })),
        }
    }

    /// What one of the two asks for.
    fn commands(&self, side: usize) -> Vec<Command> {
        let before = if side == 0 { 1 } else { 1 + self.wishes[0].len() };
        let numbered = self.wishes[side].iter().zip(before..);
        numbered.map(|(wish, number)| self.command(number, *wish)).collect()
    }
}

/// Was a wish granted? Nothing but a yes or a no about money is an answer here.
fn is_granted(heard: &Heard) -> bool {
    match only(heard).expect("answered with its batch") {
        Ok(Reply::Refund(_) | Reply::Booked(_) | Reply::Noted) => true,
        Ok(Reply::Noticed(Noticed::Settled(_))) => true,
        Err(CommandError::Refused { .. } | CommandError::BookingRefused { .. }) => false,
        other => panic!("no answer to a wish: {other:?}"),
    }
}

struct House {
    place: Place,
    lanes: [Lane<Box<dyn Store + Send>>; 2],
    /// Everything that a PSP was sent.
    sent: Vec<Instruction>,
    met: usize,
}

impl House {
    fn open() -> House {
        let place = Place::new();
        let lanes = [(); 2].map(|()| Lane::new(place.store(), TestConnectors));
        House { place, lanes, sent: Vec::new(), met: 0 }
    }

    fn alone(&mut self, commands: Vec<Command>) {
        let (heard, sent) = send_batch(&mut self.lanes[0], commands);
        for heard in &heard {
            let reply = only(heard).expect("answered at once");
            assert!(reply.is_ok(), "{reply:?}");
        }
        self.sent.extend(sent);
    }

    /// The payments, and what happened to them before.
    fn prepare(&mut self, meetings: &[Meeting]) {
        self.alone(meetings.iter().map(Meeting::register).collect());
        let with_earlier = || meetings.iter().filter(|meeting| meeting.purse.earlier > 0);
        self.alone(
            with_earlier().map(|meeting| meeting.refund(0, Some(meeting.purse.earlier))).collect(),
        );
        let settled = with_earlier().filter(|meeting| !meeting.is_open);
        self.alone(settled.map(|meeting| meeting.outcome(succeeded())).collect());
        self.sent.clear();
    }

    /// All wishes in one batch, those of the two in turn.
    fn meet_in_one_batch(&mut self, meetings: &[Meeting]) -> Vec<[Vec<bool>; 2]> {
        let all = |meeting: &Meeting| [meeting.commands(0), meeting.commands(1)].concat();
        let (heard, sent) = send_batch(&mut self.lanes[0], meetings.iter().flat_map(all).collect());
        self.sent.extend(sent);
        let mut granted = heard.iter().map(is_granted);
        let mut take = |count: usize| granted.by_ref().take(count).collect::<Vec<bool>>();
        meetings
            .iter()
            .map(|meeting| meeting.wishes.each_ref().map(|own| take(own.len())))
            .collect()
    }

    /// Each of the two on a lane of its own, at the same moment, one of them from the last payment to the first.
    fn meet_on_two_lanes(&mut self, meetings: &[Meeting]) -> Vec<[Vec<bool>; 2]> {
        let start = Barrier::new(2);
        let run = |side: usize, lane: &mut Lane<Box<dyn Store + Send>>| {
            let mut order: Vec<&Meeting> = meetings.iter().collect();
            if side == 1 {
                order.reverse();
            }
            let commands = order.iter().flat_map(|meeting| meeting.commands(side)).collect();
            start.wait();
            let (heard, sent) = send_batch(lane, commands);
            let mut granted = heard.iter().map(is_granted);
            let take =
                |meeting: &&Meeting| granted.by_ref().take(meeting.wishes[side].len()).collect();
            let mut all: Vec<Vec<bool>> = order.iter().map(take).collect();
            if side == 1 {
                all.reverse();
            }
            (all, sent)
        };
        let [one, two] = &mut self.lanes;
        let (ours, theirs) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| run(1, two));
            (run(0, one), theirs.join().expect("no panic"))
        });
        self.sent.extend([ours.1, theirs.1].concat());
        ours.0.into_iter().zip(theirs.0).map(|(ours, theirs)| [ours, theirs]).collect()
    }

    /// Each payment is as some order of its wishes leaves it, and its PSP was asked for just that.
    fn judge(&mut self, meetings: &[Meeting], granted: Vec<[Vec<bool>; 2]>, is_one_batch: bool) {
        let reads = self.place.reads();
        for (meeting, granted) in meetings.iter().zip(granted) {
            let (merchant, payment) = meeting.of();
            let view =
                reads.payment(merchant, payment, None).expect("readable").expect("registered");
            let leg = view.primary();
            let held = view.refunded_or_open(leg.id);
            let earlier = meeting.purse.earlier;
            let is_like = |(each, purse): &End| {
                let money = (leg.captured(), leg.released(), held);
                *each == granted.concat() && money == (purse.captured, purse.released, purse.held)
            };
            let [ours, theirs] = &meeting.wishes;
            let all = match is_one_batch {
                true => ends(meeting.purse, &[&ours[..], theirs].concat(), &[]),
                false => ends(meeting.purse, ours, theirs),
            };
            let told = || format!("{meeting:?} ended with {granted:?}, {held} held: {view:?}");
            assert!(all.iter().any(is_like), "{}", told());
            assert!(held <= leg.captured(), "{}", told());
            let asked = self.sent.iter().filter(|call| call.refund.payment == payment);
            let asked: i64 = asked.map(|call| call.amount.units()).sum();
            let disputed = meeting.wishes.concat().contains(&Wish::Disputed);
            let new = held - if disputed { 0 } else { earlier };
            assert_eq!(asked, if meeting.connector == "manual" { 0 } else { new }, "{}", told());
        }
        self.met += meetings.len();
        self.sent.clear();
    }
}

/// As many as asked for, in a batch and on two lanes in turn.
fn meet(usual: usize, mut draw: impl FnMut(u128) -> Meeting) {
    let usual = if requite_cluster::is_postgres() { usual.div_ceil(4) } else { usual };
    let count = times("REQUITE_PAIRS", usual);
    let mut house = House::open();
    let mut next = 1_u128;
    while house.met < count {
        let meetings: Vec<Meeting> = (next..next + MET_AT_ONCE).map(&mut draw).collect();
        next += MET_AT_ONCE;
        house.prepare(&meetings);
        let is_one_batch = (next / MET_AT_ONCE).is_multiple_of(2);
        let granted = match is_one_batch {
            true => house.meet_in_one_batch(&meetings),
            false => house.meet_on_two_lanes(&meetings),
        };
        house.judge(&meetings, granted, is_one_batch);
    }
    println!("{} payments on which wishes met", house.met);
    assert_eq!(house.place.audit().violations, Vec::new());
}

#[test]
fn two_refunds_at_once_never_give_back_more_than_was_taken() {
    let mut dice = Dice(27);
    meet(2_000, |payment| dice.pair(payment));
}

#[test]
fn refunds_captures_voids_and_disputes_at_once_come_to_what_one_order_comes_to() {
    let mut dice = Dice(28);
    meet(2_000, |payment| dice.mix(payment));
}

/// The arithmetic that judges the two above can tell right from wrong.
#[test]
fn ends_of_meetings_are_those_of_every_order() {
    let purse = Purse { captured: AUTHORISED, released: 0, held: 0, earlier: 0 };
    let full = [Wish::Refund(None)];
    let after = Purse { held: AUTHORISED, ..purse };
    assert_eq!(ends(purse, &full, &full), [(vec![true, false], after), (vec![false, true], after)]);
    let part = [Wish::Refund(Some(6_000))];
    let ends = ends(purse, &full, &part);
    assert_eq!(ends, [(vec![true, false], after), (vec![true, true], after)]);
}
