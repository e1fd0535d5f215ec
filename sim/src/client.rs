//! Shops at work: payments are registered, captured, voided and refunded in the command forms of
//! all five faces, requests are repeated with the same key, sometimes with another meaning, and
//! repeated when their answer was lost.

use std::collections::VecDeque;

use requite_core::currency::Currency;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::{Decimal, MINOR_MAX, Minor};
use requite_engine::command::{
    Booking, BookingRequest, Command, Details, NewLeg, Reason, RefundRequest, Registration, Trace,
    Wait,
};
use requite_engine::key::{Key, Lifetime, digest};

use crate::model::{Model, Of, capture_id};
use crate::rng::Rng;

/// Requests with keys that may be repeated.
const REPEATABLE_MAX: usize = 64;
/// The double-click guard's window.
const GUARD_MS: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    MedusaV1,
    MedusaV2,
    Mpg,
    Gr4vy,
    Loop,
    Native,
}

const FACES: [(Face, &str); 6] = [
    (Face::MedusaV1, "medusa-v1"),
    (Face::MedusaV2, "medusa-v2"),
    (Face::Mpg, "mpg"),
    (Face::Gr4vy, "gr4vy"),
    (Face::Loop, "loop"),
    (Face::Native, "native"),
];

/// How shops behave in this run; rates are per thousand.
#[derive(Clone, Debug)]
pub struct Habits {
    pub repeats: u64,
    pub other_meaning: u64,
    /// Amounts that make no sense.
    pub nonsense: u64,
    /// Refunds of all that is left; others take a part.
    pub greed: u64,
    pub keyless: u64,
    pub guard: u64,
    pub books: u64,
}

fn meaning(booking: Booking, amount: Option<i64>) -> [u8; 16] {
    digest(&[format!("{booking:?} {amount:?}").as_bytes()])
}

pub struct Clients {
    habits: Habits,
    merchants: Vec<MerchantId>,
    reasons: Vec<(MerchantId, ReasonId)>,
    payments: Vec<Of>,
    repeatable: VecDeque<RefundRequest>,
    /// Captures and voids with keys.
    booked: VecDeque<BookingRequest>,
    registrations: Vec<Registration>,
}

impl Clients {
    pub fn new(rng: &mut Rng, habits: Habits) -> Clients {
        let merchants: Vec<MerchantId> =
            (0..1 + rng.below(4)).map(|_| MerchantId::new(rng.bits())).collect();
        let reasons = merchants.iter().map(|of| (*of, ReasonId::new(rng.bits()))).collect();
        Clients {
            habits,
            merchants,
            reasons,
            payments: Vec::new(),
            repeatable: VecDeque::new(),
            booked: VecDeque::new(),
            registrations: Vec::new(),
        }
    }

    pub fn reasons(&self) -> &[(MerchantId, ReasonId)] {
        &self.reasons
    }

    /// A request whose answer was lost is asked again, sooner or later.
    pub fn keep(&mut self, request: &RefundRequest) {
        if request.keys.is_empty() {
            return;
        }
        if self.repeatable.len() == REPEATABLE_MAX {
            self.repeatable.pop_front();
        }
        self.repeatable.push_back(request.clone());
    }

    /// The next wish of some shop.
    pub fn next(&mut self, rng: &mut Rng, model: &mut Model, now_ms: i64) -> Command {
        if self.payments.is_empty() || rng.chance(self.habits.books / 2) {
            return self.register(rng, now_ms);
        }
        if rng.chance(self.habits.books) {
            return self.book(rng, now_ms);
        }
        if !self.repeatable.is_empty() && rng.chance(self.habits.repeats) {
            return Command::Refund(Box::new(self.repeat(rng, model, now_ms)));
        }
        let request = self.refund(rng, model, now_ms);
        if rng.chance(700) {
            self.keep(&request);
        }
        Command::Refund(Box::new(request))
    }

    // --- Payments ---

    fn register(&mut self, rng: &mut Rng, now_ms: i64) -> Command {
        if !self.registrations.is_empty() && rng.chance(150) {
            return Command::Register(Box::new(self.register_again(rng, now_ms)));
        }
        let new = self.registration(rng, now_ms);
        assert!(new.is_sound(), "shops register only what their face would let pass");
        self.payments.push((new.merchant, new.payment));
        self.registrations.push(new.clone());
        Command::Register(Box::new(new))
    }

    fn register_again(&mut self, rng: &mut Rng, now_ms: i64) -> Registration {
        let mut again = self.registrations[rng.index(self.registrations.len())].clone();
        again.at_ms = now_ms;
        if again.external_identifier.is_some() && rng.chance(500) {
            again.payment = PaymentId::new(rng.bits());
        }
        if rng.chance(300) {
            again.fingerprint = rng.bits().to_be_bytes();
        }
        again
    }

    fn registration(&mut self, rng: &mut Rng, now_ms: i64) -> Registration {
        let code = rng.pick(&["EUR", "USD", "SAR", "JPY", "KWD", "CLF"]);
        let amount = match rng.below(10) {
            0 => rng.between(1, 20),
            1 => rng.between(MINOR_MAX / 4, MINOR_MAX / 3),
            2..=4 => rng.between(20, 2_000),
            _ => rng.between(1_000, 100_000),
        };
        let mut captures = Vec::new();
        let mut open = amount;
        for _ in 0..rng.pick(&[0, 1, 1, 1, 1, 2, 3]) {
            let part = if rng.chance(600) { open } else { rng.between(0, open) };
            if let Some(units) = Minor::new(part).filter(|part| !part.is_zero()) {
                captures.push((capture_id(rng.bits()), units));
                open -= part;
            }
        }
        let card = |rng: &mut Rng| NewLeg {
            id: LegId::new(rng.bits()),
            amount: minor(rng.between(1, 5_000)),
        };
        let cards = rng.pick(&[0, 0, 0, 0, 1, 2]);
        Registration {
            merchant: self.merchants[rng.index(self.merchants.len())],
            payment: PaymentId::new(rng.bits()),
            currency: Currency::parse(code).expect("ISO 4217 lists it"),
            primary: NewLeg { id: LegId::new(rng.bits()), amount: minor(amount) },
            gift_cards: (0..cards).map(|_| card(rng)).collect(),
            captures,
            connector: String::from(if rng.chance(60) { "manual" } else { "simulated" }),
            connector_payment: None,
            connector_settings: None,
            external_identifier: rng.chance(400).then(|| format!("order-{:x}", rng.below(500))),
            order: None,
            customer: None,
            description: None,
            aliases: Vec::new(),
            profile: String::from("{}"),
            fingerprint: rng.bits().to_be_bytes(),
            created_at_ms: now_ms,
            cancelled_at_ms: rng.chance(20).then_some(now_ms),
            decline: None,
            trace: None,
            keys: Vec::new(),
            actor: String::from("shop"),
            at_ms: now_ms,
        }
    }

    fn book(&mut self, rng: &mut Rng, now_ms: i64) -> Command {
        let (merchant, payment) = self.some_payment(rng);
        let amount = match rng.below(6) {
            0 => None,
            1 => Some(rng.pick(&[0, -1, i64::MIN, i64::MAX])),
            _ => Some(rng.between(1, 3_000)),
        };
        let booking = match rng.below(10) {
            0..=5 => Booking::Capture { is_final: false },
            6 => Booking::Capture { is_final: true },
            _ => Booking::Void,
        };
        let id = capture_id(rng.bits()).bits();
        if !self.booked.is_empty() && rng.chance(self.habits.repeats) {
            let mut again = self.booked[rng.index(self.booked.len())].clone();
            (again.id, again.at_ms) = (id, now_ms);
            if rng.chance(self.habits.other_meaning) {
                again.amount = amount;
                again.keys.iter_mut().for_each(|key| key.fingerprint = meaning(booking, amount));
            }
            return Command::Book(Box::new(again));
        }
        let key = Key {
            hash: digest(&[b"booking", &rng.bits().to_be_bytes()]),
            fingerprint: meaning(booking, amount),
            lifetime: Lifetime::Kept,
            answers_present: rng.chance(300),
        };
        let is_keyed = !rng.chance(self.habits.keyless);
        let request = BookingRequest {
            merchant,
            payment,
            booking,
            id,
            amount,
            trace: Trace::default(),
            keys: is_keyed.then_some(key).into_iter().collect(),
            actor: String::from("shop"),
            at_ms: now_ms,
        };
        if is_keyed {
            if self.booked.len() == REPEATABLE_MAX {
                self.booked.pop_front();
            }
            self.booked.push_back(request.clone());
        }
        Command::Book(Box::new(request))
    }

    /// Mostly one of the newest, so that shops meet on the same payments.
    fn some_payment(&self, rng: &mut Rng) -> Of {
        let known = self.payments.len();
        let newest = if rng.chance(800) { known.min(6) } else { known };
        let (merchant, payment) = self.payments[known - 1 - rng.index(newest)];
        if rng.chance(5) {
            let other = self.merchants[rng.index(self.merchants.len())];
            return (other, payment);
        }
        (merchant, payment)
    }

    // --- Refunds ---

    /// The same request again; sometimes with the same key and another meaning.
    fn repeat(&mut self, rng: &mut Rng, model: &mut Model, now_ms: i64) -> RefundRequest {
        let mut again = self.repeatable[rng.index(self.repeatable.len())].clone();
        let refund = RefundId::new(rng.bits());
        if let Some(thousandths) = model.majors.get(&again.ask.refund).copied() {
            model.majors.insert(refund, thousandths);
        }
        again.ask.refund = refund;
        again.ask.at_ms = now_ms;
        if rng.chance(self.habits.other_meaning) {
            again.ask.amount = Amount::Minor(rng.between(1, 50));
            for key in &mut again.keys {
                key.fingerprint = rng.bits().to_be_bytes();
            }
        } else if rng.chance(80) {
            // A client that makes a new key for each try.
            for key in again.keys.iter_mut().filter(|key| key.lifetime == Lifetime::Kept) {
                key.hash = rng.bits().to_be_bytes();
            }
            self.keep(&again);
        }
        again
    }

    fn refund(&mut self, rng: &mut Rng, model: &mut Model, now_ms: i64) -> RefundRequest {
        let (merchant, payment) = self.some_payment(rng);
        let (face, name) = rng.pick(&FACES);
        let refund = RefundId::new(rng.bits());
        let target = self.target(rng, model, (merchant, payment), face);
        let amount = self.amount(rng, model, (merchant, payment, refund), (face, target));
        let wants_currency = face == Face::Native && rng.chance(50);
        let given_id = (face == Face::Mpg && rng.chance(800)).then(|| rng.bits());
        let text = (!rng.chance(self.habits.keyless)).then(|| format!("key-{}", rng.draw()));
        let meaning = format!("{:x} {amount:?} {target:?}", payment.bits());
        let keys = self.keys(rng, (face, name), (text.as_deref(), given_id), &meaning);
        RefundRequest {
            merchant,
            payment,
            ask: Ask {
                refund,
                target,
                amount,
                currency: wants_currency.then(|| rng.pick(&currencies())),
                at_ms: now_ms,
            },
            details: Details {
                face: name.to_owned(),
                actor: String::from("shop"),
                reason_code: (face == Face::MedusaV1).then(|| String::from("return")),
                reason_text: None,
                reason: self.reason(rng, merchant, face),
                note: None,
                external_identifier: None,
                given_id,
                key_text: text,
                metadata: None,
                wants_reference: face == Face::Mpg,
            },
            keys,
            wait: if face == Face::Gr4vy { Wait::Acceptance } else { Wait::Outcome },
            answers_unknown: face != Face::Loop,
        }
    }

    fn target(&self, rng: &mut Rng, model: &Model, of: Of, face: Face) -> Target {
        let has_legs = matches!(face, Face::Gr4vy | Face::Native);
        let legs = model.payments.get(&of).map(|account| account.legs.as_slice());
        match legs {
            Some(legs) if has_legs && rng.chance(500) => {
                Target::Leg(legs[rng.index(legs.len())].id)
            }
            _ if has_legs && rng.chance(10) => Target::Leg(LegId::new(rng.bits())),
            _ => Target::Primary,
        }
    }

    fn amount(
        &self,
        rng: &mut Rng,
        model: &mut Model,
        (merchant, payment, refund): (MerchantId, PaymentId, RefundId),
        (face, target): (Face, Target),
    ) -> Amount {
        let account = model.payments.get(&(merchant, payment));
        let leg = account.and_then(|account| match target {
            Target::Primary => account.legs.first(),
            Target::Leg(id) => account.legs.iter().find(|leg| leg.id == id),
        });
        let left = leg.map_or(1_000, |leg| leg.captured - leg.held);
        // A payment may be asked for before its registration is committed.
        let registration = self.registrations.iter().rfind(|new| new.payment == payment);
        let exponent = registration.map_or(2, |new| u32::from(new.currency.exponent()));
        let units = if rng.chance(self.habits.nonsense) {
            rng.pick(&[0, -1, left + 1, left * 2, MINOR_MAX, MINOR_MAX + 1, i64::MAX, i64::MIN])
        } else if rng.chance(self.habits.greed) {
            left.max(1)
        } else {
            rng.between(1, (left / 3).max(3))
        };
        match face {
            Face::MedusaV2 if rng.chance(150) => Amount::Whole,
            Face::MedusaV2 => {
                let (thousandths, text) = major(rng, units, exponent);
                model.majors.insert(refund, thousandths);
                Amount::Major(Decimal::parse(&text).expect("it is written as a number"))
            }
            Face::Gr4vy | Face::Loop | Face::Native if rng.chance(self.habits.greed) => {
                Amount::Remaining
            }
            _ => Amount::Minor(units),
        }
    }

    fn reason(&self, rng: &mut Rng, merchant: MerchantId, face: Face) -> Reason {
        if face != Face::MedusaV2 || rng.chance(500) {
            return Reason::None;
        }
        let own = self.reasons.iter().find(|(of, _)| *of == merchant);
        match own {
            Some((_, id)) if rng.chance(940) => Reason::Kept(*id),
            Some(_) if rng.chance(500) => Reason::Kept(ReasonId::new(rng.bits())),
            _ => Reason::Unknown,
        }
    }

    /// The keys that a face makes of a request, as the five faces make them.
    fn keys(
        &self,
        rng: &mut Rng,
        (face, name): (Face, &str),
        (text, given_id): (Option<&str>, Option<u128>),
        meaning: &str,
    ) -> Vec<Key> {
        let key = |kind: &str, text: &str, lifetime| Key {
            hash: digest(&[name.as_bytes(), kind.as_bytes(), text.as_bytes()]),
            fingerprint: digest(&[name.as_bytes(), meaning.as_bytes()]),
            lifetime,
            answers_present: false,
        };
        let mut keys: Vec<Key> =
            text.iter().map(|text| key("header", text, Lifetime::Kept)).collect();
        if let Some(given) = given_id {
            let own = key("transaction", &format!("{given:x}"), Lifetime::Kept);
            keys.push(Key { answers_present: true, ..own });
        } else if face == Face::Loop {
            keys.push(key("retry", meaning, Lifetime::WhileUnknown));
        } else if rng.chance(self.habits.guard) {
            keys.push(key("guard", meaning, Lifetime::Within(GUARD_MS)));
        }
        keys
    }
}

fn currencies() -> [Currency; 2] {
    ["EUR", "USD"].map(|code| Currency::parse(code).expect("ISO 4217 lists it"))
}

fn minor(units: i64) -> Minor {
    Minor::new(units).expect("the caller keeps to amounts of money")
}

/// `units` as a JSON number in major units, with what it means in thousandths of a minor unit.
/// Sometimes it is off by a fraction, as computed sums are, and sometimes it has an exponent.
fn major(rng: &mut Rng, units: i64, exponent: u32) -> (i128, String) {
    let off = match rng.below(12) {
        0 => rng.between(-499, 499),
        1 => rng.pick(&[500, -500, 1, -1, 999]),
        _ => 0,
    };
    let thousandths = i128::from(units) * 1_000 + i128::from(off);
    let sign = if thousandths < 0 { "-" } else { "" };
    let digits = thousandths.unsigned_abs();
    if rng.chance(150) {
        return (thousandths, format!("{sign}{digits}e-{}", exponent + 3));
    }
    let decimals = (exponent + 3) as usize;
    let text = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = text.split_at(text.len() - decimals);
    let fraction = if rng.chance(500) { fraction.trim_end_matches('0') } else { fraction };
    let point = if fraction.is_empty() { "" } else { "." };
    (thousandths, format!("{sign}{whole}{point}{fraction}"))
}
