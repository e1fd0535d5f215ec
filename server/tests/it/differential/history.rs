//! A random history: how a payment begins, and what is then asked for. The same seed, the same history.

pub(super) const STEPS: u64 = 9;
pub(super) const AMOUNT: u64 = 10_000;
/// Refunds whose answer is lost: each waits for its look-up.
const LOST_MAX: u64 = 1;

/// Xorshift.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// How the payment comes into the books. What a face cannot make is registered.
#[derive(Clone, Debug)]
pub(super) enum Start {
    /// Registered, with what was captured, a gift card beside it (0 is none), and the PSP's answers.
    Registered { captures: Vec<u64>, gift_card: u64, script: Vec<&'static str> },
    /// A face takes a card, and holds the money.
    Authorized,
    /// A face takes the money at once, or says that it was taken.
    Taken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Refund(u64),
    /// Of the gift card.
    RefundCard(u64),
    Capture {
        cents: u64,
        is_final: bool,
    },
    Void(u64),
    /// All that was authorised and not captured.
    VoidRest,
    /// Of the hold; moves nothing.
    Extend(u64),
    /// Every face's totals are held against the journal.
    Look,
}

/// How a step is secured against being done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    Not,
    Once,
    /// Sent again under its key.
    Again,
    /// Its key is sent once more, with another amount.
    Misused,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) deed: Deed,
    pub(super) keyed: Keyed,
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) start: Start,
    pub(super) steps: Vec<Step>,
}

/// What is left, as far as it helps to ask for amounts near the edge.
struct Left {
    capturable: u64,
    refundable: u64,
    card: u64,
    lost: u64,
    script: Vec<&'static str>,
}

pub(super) fn history(seed: u64) -> History {
    let mut dice = Dice::new(seed);
    let captured = match dice.below(4) {
        0 => Vec::new(),
        1 => vec![1 + dice.below(AMOUNT / 2)],
        _ => {
            let first = 1 + dice.below(AMOUNT - 1);
            vec![first, AMOUNT - first]
        }
    };
    let card = if dice.below(2) == 0 { 0 } else { 1 + dice.below(3_000) };
    let kind = dice.below(5);
    let taken = match kind {
        0 => 0,
        1 => AMOUNT,
        _ => captured.iter().sum(),
    };
    let card = if kind < 2 { 0 } else { card };
    let mut left =
        Left { capturable: AMOUNT - taken, refundable: taken, card, lost: 0, script: Vec::new() };
    let steps = (0..STEPS).map(|_| step(&mut dice, &mut left)).collect();
    let mut script = left.script;
    match dice.below(12) {
        0 => script.push("capture:decline:51:no funds"),
        1 => script.push("void:decline:05:not now"),
        _ => {}
    }
    let start = match kind {
        0 => Start::Authorized,
        1 => Start::Taken,
        _ => Start::Registered { captures: captured, gift_card: card, script },
    };
    History { start, steps }
}

fn step(dice: &mut Dice, left: &mut Left) -> Step {
    let deed = match dice.below(12) {
        0..=4 => refund(dice, left),
        5 if left.card > 0 => card_refund(dice, left),
        6 | 7 => capture(dice, left),
        8 => void(dice, left),
        9 => Deed::Extend(1 + dice.below(AMOUNT)),
        10 => Deed::Look,
        _ => refund(dice, left),
    };
    let keyed = [Keyed::Not, Keyed::Once, Keyed::Again, Keyed::Again, Keyed::Misused];
    Step { deed, keyed: keyed[usize::try_from(dice.below(5)).expect("small")] }
}

/// Nothing, too much, all, or a part.
fn near(dice: &mut Dice, left: u64) -> u64 {
    match dice.below(6) {
        0 => left,
        1 => left + 1,
        2 => 0,
        _ => 1 + dice.below(4_000),
    }
}

fn answered(dice: &mut Dice, left: &mut Left, cents: u64) -> u64 {
    let answers =
        ["approve", "approve", "decline:51", "fail", "pending", "lost", "unsent", "http:402"];
    let mut answer = answers[usize::try_from(dice.below(8)).expect("small")];
    left.lost += u64::from(answer == "lost");
    if left.lost > LOST_MAX && answer == "lost" {
        answer = "approve";
    }
    left.script.push(answer);
    match answer {
        "decline:51" | "fail" | "http:402" => 0,
        "unsent" => {
            left.script.push("approve");
            cents
        }
        _ => cents,
    }
}

fn refund(dice: &mut Dice, left: &mut Left) -> Deed {
    let cents = near(dice, left.refundable);
    if (1..=left.refundable).contains(&cents) {
        left.refundable -= answered(dice, left, cents);
    }
    Deed::Refund(cents)
}

fn card_refund(dice: &mut Dice, left: &mut Left) -> Deed {
    let cents = near(dice, left.card);
    if (1..=left.card).contains(&cents) {
        left.card -= answered(dice, left, cents);
    }
    Deed::RefundCard(cents)
}

fn capture(dice: &mut Dice, left: &mut Left) -> Deed {
    let cents = near(dice, left.capturable);
    let is_final = dice.below(4) == 0;
    if (1..=left.capturable).contains(&cents) {
        left.refundable += cents;
        left.capturable = if is_final { 0 } else { left.capturable - cents };
    }
    Deed::Capture { cents, is_final }
}

fn void(dice: &mut Dice, left: &mut Left) -> Deed {
    if dice.below(2) == 0 {
        left.capturable = 0;
        return Deed::VoidRest;
    }
    let cents = near(dice, left.capturable);
    if (1..=left.capturable).contains(&cents) {
        left.capturable -= cents;
    }
    Deed::Void(cents)
}
