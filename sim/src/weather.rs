//! What a run is like. Every run draws its own rates of everything, and half of the runs have a
//! [`Climate`] besides that pushes one thing to its end: many short crashes, few long ones, a slow
//! PSP, a lying one, a clock that jumps. An average mix would never get far into any corner.

use std::collections::VecDeque;

use crate::bug::Bug;
use crate::client::Habits;
use crate::disk::Fate;
use crate::psp::{Policy, Rates, Recourse};
use crate::rng::Rng;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What a run is about, if about anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Climate {
    /// Whatever the rates say.
    Mixed,
    /// Three answers of ten never come; nothing else is wrong.
    LostAnswers,
    /// The process dies every few steps, and again while it recovers.
    ManyCrashes,
    /// It dies seldom, and stays down for hours or days.
    LongCrashes,
    /// Answers come after the deadline, if at all.
    SlowPsp,
    /// What it said was over is not: declines and failures that are paid later, money that comes
    /// back and goes again.
    LyingPsp,
    /// Neither idempotency keys nor a guard against giving back too much, and hardly an answer.
    BarePsp,
    /// It never tells anything unasked.
    NoNotices,
    /// Look-ups are hardly ever answered: news comes unasked or not at all.
    OnlyNotices,
    /// The store fails, conflicts, and commits without saying so.
    BadStore,
    /// Our clock is set, by hours and days, forwards and backwards.
    ClockJumps,
    /// Weeks go by.
    LongTimes,
    /// It cannot be asked: the same is sent again, and notices and people tell what became of it.
    RepeatPsp,
    /// Hardly an answer to a refund's call comes, and shops ask for the rest meanwhile. Many refunds wait
    /// for the customer, and people want them cancelled.
    Doubts,
    /// Several processes with several lanes each over one store: they meet, die, and stand still.
    Nodes,
}

impl Climate {
    pub const ALL: [(&'static str, Climate); 15] = [
        ("mixed", Climate::Mixed),
        ("lost-answers", Climate::LostAnswers),
        ("many-crashes", Climate::ManyCrashes),
        ("long-crashes", Climate::LongCrashes),
        ("slow-psp", Climate::SlowPsp),
        ("lying-psp", Climate::LyingPsp),
        ("bare-psp", Climate::BarePsp),
        ("no-notices", Climate::NoNotices),
        ("only-notices", Climate::OnlyNotices),
        ("bad-store", Climate::BadStore),
        ("clock-jumps", Climate::ClockJumps),
        ("long-times", Climate::LongTimes),
        ("repeat-psp", Climate::RepeatPsp),
        ("nodes", Climate::Nodes),
        ("doubts", Climate::Doubts),
    ];

    /// Of a seed: every second run is mixed. Drawn beside the run's own chance, so that a mixed run
    /// tells the same story however many climates there are.
    pub fn of(seed: u64) -> Climate {
        let mut rng = Rng::new(seed ^ 0x00C1_1A7E_5EED);
        if rng.chance(500) { Climate::Mixed } else { rng.pick(&Climate::ALL[1..]).1 }
    }

    pub fn named(name: &str) -> Option<Climate> {
        Climate::ALL.iter().find(|(word, _)| *word == name).map(|(_, climate)| *climate)
    }

    pub fn name(self) -> &'static str {
        let listed = Climate::ALL.iter().find(|(_, climate)| *climate == self);
        listed.expect("ALL lists every climate").0
    }
}

/// Rates per thousand steps, unless said.
#[derive(Clone, Debug)]
pub struct Weather {
    pub habits: Habits,
    /// Client commands that come at once, at most.
    pub burst: u64,
    /// Commands that one step takes, at most.
    pub batch: usize,
    /// Steps in which no time passes.
    pub haste: u64,
    pub long_waits: u64,
    /// How long a client's request waits for an outcome.
    pub patience_ms: i64,
    /// News before clients, as the engine queues them; else shuffled.
    pub is_orderly: bool,
    /// Wake-ups that are carried out a step late.
    pub late_sweeps: u64,
    pub store_fails: u64,
    pub constraints: u64,
    pub tries_again: u64,
    pub loses_answers: u64,
    pub dies_in_store: u64,
    pub dies_answering: u64,
    pub dies_calling: u64,
    pub dies_idle: u64,
    /// Restarts that die as well, before or after their recovery.
    pub dies_recovering: u64,
    /// How long a process stays down, in ms.
    pub down_ms: &'static [i64],
    /// Our clock is set.
    pub clock_jumps: u64,
    pub audits: u64,
    /// A person rules on an open refund.
    pub people: u64,
    /// Processes over one store, and lanes of each.
    pub nodes: [usize; 2],
    /// Steps within which another node has one of its own.
    pub meets: u64,
    /// Steps after which the process stands still for a while.
    pub pauses: u64,
    /// Commits whose answer is lost, and that are read back.
    pub reads_back: u64,
    /// Of a thousand refunds: proposed first, as the server's desk does. The others are decided at once.
    pub proposes: u64,
    /// Somebody wants a refund cancelled.
    pub cancels: u64,
}

const DOWN_MS: &[i64] = &[0, 5, 300, 5_000, 600_000];
const DOWN_SHORT_MS: &[i64] = &[0, 1, 5];
const DOWN_LONG_MS: &[i64] = &[HOUR, 5 * HOUR, DAY, 11 * DAY];

/// Nothing, little, some or much.
fn rate(rng: &mut Rng, much: u64) -> u64 {
    rng.pick(&[0, much / 12, much / 4, much])
}

impl Weather {
    pub fn draw(rng: &mut Rng) -> Weather {
        Weather {
            habits: Habits {
                repeats: rng.pick(&[50, 200, 400]),
                other_meaning: rng.pick(&[0, 30, 150]),
                nonsense: rng.pick(&[10, 100, 300]),
                greed: rng.pick(&[20, 150, 500]),
                keyless: rng.pick(&[0, 200, 500]),
                guard: rng.pick(&[0, 0, 200]),
                books: rng.pick(&[40, 120, 250]),
            },
            burst: rng.pick(&[1, 3, 8, 40]),
            batch: rng.pick(&[1, 4, 32, 256]),
            haste: rng.pick(&[100, 400, 800]),
            long_waits: rng.pick(&[0, 5, 30]),
            patience_ms: rng.pick(&[0, 300, 5_000, 20_000]),
            is_orderly: rng.chance(600),
            late_sweeps: rate(rng, 300),
            store_fails: rate(rng, 100),
            constraints: rate(rng, 40),
            tries_again: rate(rng, 100),
            loses_answers: rate(rng, 40),
            dies_in_store: rate(rng, 40),
            dies_answering: rate(rng, 20),
            dies_calling: rate(rng, 40),
            dies_idle: rate(rng, 20),
            dies_recovering: 0,
            down_ms: DOWN_MS,
            clock_jumps: 0,
            audits: 2,
            people: rng.pick(&[0, 0, 5]),
            nodes: [1, 1],
            meets: 0,
            pauses: 0,
            reads_back: 0,
            proposes: 0,
            cancels: 0,
        }
    }

    /// Nothing goes wrong by itself; how shops behave stays as it was drawn.
    fn is_fine(&mut self) {
        self.late_sweeps = 0;
        self.store_fails = 0;
        self.constraints = 0;
        self.tries_again = 0;
        self.loses_answers = 0;
        self.dies_in_store = 0;
        self.dies_answering = 0;
        self.dies_calling = 0;
        self.dies_idle = 0;
        self.dies_recovering = 0;
        self.clock_jumps = 0;
        self.people = 0;
        self.meets = 0;
        self.pauses = 0;
        self.reads_back = 0;
    }

    /// What a climate makes of a weather and of the PSP in it.
    pub fn shape(&mut self, climate: Climate, policy: &mut Policy) {
        let rates = &mut policy.rates;
        use Climate::{LyingPsp, OnlyNotices, SlowPsp};
        policy.notices_wander = matches!(climate, LyingPsp | OnlyNotices | SlowPsp);
        if policy.notices_wander {
            rates.cancel = 150;
            rates.wavers = 300;
            rates.forgets = 100;
        }
        if climate != Climate::Mixed {
            self.proposes = 500;
            self.cancels = 10;
        }
        match climate {
            Climate::Mixed => {}
            Climate::Doubts => self.is_doubtful(rates),
            Climate::LostAnswers => {
                self.is_fine();
                *rates = Rates { lost_after: 300, ..Rates::default() };
            }
            Climate::ManyCrashes => {
                self.dies_in_store = 80;
                self.dies_answering = 60;
                self.dies_calling = 80;
                self.dies_idle = 60;
                self.dies_recovering = 300;
                self.down_ms = DOWN_SHORT_MS;
            }
            Climate::LongCrashes => {
                self.dies_in_store = 4;
                self.dies_calling = 8;
                self.dies_answering = 2;
                self.dies_idle = 4;
                self.dies_recovering = 100;
                self.down_ms = DOWN_LONG_MS;
            }
            Climate::SlowPsp => {
                rates.slow = 600;
                rates.pending = 300;
                policy.deadline_ms = 2_000;
            }
            Climate::LyingPsp => {
                rates.turn_about = 250;
                rates.fail = 100;
                rates.decline = 200;
                rates.bounce = 100;
                rates.notice = 500;
            }
            Climate::BarePsp => {
                policy.key_life_ms = 0;
                policy.has_guard = false;
                policy.may_straggle = false;
                policy.shows_declines = false;
                rates.lost_after = 300;
                rates.server_error = 150;
                rates.deaf_look_up = 400;
            }
            Climate::NoNotices => rates.notice = 0,
            Climate::OnlyNotices => only_notices(policy),
            Climate::BadStore => {
                self.store_fails = 150;
                self.constraints = 60;
                self.tries_again = 200;
                self.loses_answers = 80;
            }
            Climate::ClockJumps => (self.clock_jumps, self.dies_idle) = (40, 10),
            Climate::LongTimes => self.long_waits = 200,
            Climate::Nodes => self.has_nodes(),
            Climate::RepeatPsp => self.cannot_ask(policy),
        }
    }

    fn is_doubtful(&mut self, rates: &mut Rates) {
        self.proposes = 900;
        self.cancels = 150;
        self.habits.greed = 500;
        self.habits.nonsense = 10;
        rates.lost_before = 100;
        rates.lost_after = 300;
        rates.decline = 200;
        rates.action = 300;
        rates.for_ever = 20;
    }

    fn cannot_ask(&mut self, policy: &mut Policy) {
        self.people = 40;
        self.long_waits = self.long_waits.max(30);
        repeat_psp(policy);
    }

    /// Two or three processes with one to three lanes, as the run's own rates tell.
    fn has_nodes(&mut self) {
        self.nodes = [2 + usize::from(self.burst > 3), 1 + self.batch % 3];
        self.meets = 300;
        self.pauses = 30;
        self.reads_back = 30;
        self.dies_in_store = self.dies_in_store.max(4);
    }

    /// Faults stop; clients have stopped before.
    pub fn calm(&mut self) {
        self.is_fine();
        self.audits = 0;
        self.batch = 256;
    }

    /// How long nothing happens, in ms.
    pub fn wait(&self, rng: &mut Rng) -> i64 {
        if rng.chance(self.haste) {
            return 0;
        }
        if rng.chance(self.long_waits) {
            return match rng.below(100) {
                0 => rng.between(DAY, 31 * DAY),
                1..=15 => rng.between(HOUR, DAY),
                _ => rng.between(60_000, HOUR),
            };
        }
        match rng.below(10) {
            0 => rng.between(2_000, 60_000),
            1..=3 => rng.between(50, 2_000),
            _ => rng.between(1, 50),
        }
    }

    /// What becomes of the next transaction, and of the single ones that follow a broken
    /// constraint.
    pub fn fates(&self, rng: &mut Rng, commands: usize) -> VecDeque<Fate> {
        let fate = self.fate(rng);
        let mut fates = VecDeque::from([fate]);
        if fate == Fate::Constraint && commands > 1 {
            let bad = rng.index(commands);
            fates.extend(
                (0..commands).map(|at| if at == bad { Fate::Constraint } else { Fate::Commit }),
            );
            let other = 1 + rng.index(commands);
            if rng.chance(300) {
                fates[other] = self.fate(rng);
            }
        }
        fates
    }

    fn fate(&self, rng: &mut Rng) -> Fate {
        let deaths =
            [Fate::DieBeforeLoad, Fate::DieBeforeSave, Fate::DieBeforeCommit, Fate::DieAfterCommit];
        match () {
            () if rng.chance(self.dies_in_store) => rng.pick(&deaths),
            () if rng.chance(self.store_fails) => rng.pick(&[Fate::FailLoad, Fate::FailSave]),
            () if rng.chance(self.constraints) => Fate::Constraint,
            () if rng.chance(self.tries_again) => Fate::TryAgain,
            () if rng.chance(self.loses_answers) => Fate::LoseAnswer,
            () if rng.chance(self.reads_back) => Fate::ReadBack,
            () => Fate::Commit,
        }
    }
}

/// Requests are lost or late, look-ups hardly ever answered: what becomes of a refund is told unasked.
fn only_notices(policy: &mut Policy) {
    // What is on its way may arrive after we gave it up.
    policy.key_life_ms = i64::MAX;
    policy.may_straggle = true;
    policy.straggles = 500;
    let rates = &mut policy.rates;
    rates.refused_connection = 0;
    rates.fail = 0;
    rates.notice = 1_000;
    rates.pending = 600;
    rates.action = 100;
    rates.deaf_look_up = 500;
    rates.lost_before = 500;
}

/// It honours keys for a week, answers that it received a refund and says later what became of it; one
/// of ten such notices never comes.
fn repeat_psp(policy: &mut Policy) {
    policy.recourse = Recourse::Repeat;
    policy.key_life_ms = 7 * DAY;
    policy.may_straggle = true;
    policy.notices_wander = true;
    let rates = &mut policy.rates;
    rates.lost_before = 150;
    rates.lost_after = 150;
    rates.fail = 0;
    rates.action = 0;
    rates.decline = 60;
    rates.notice = 900;
    rates.bounce = 50;
    rates.turn_about = 30;
    rates.by_hand = 10;
}

/// A PSP of some kind; a planted bug gets the kind of PSP that lets it show.
pub fn policy(rng: &mut Rng, bug: Option<Bug>) -> Policy {
    let key_life_ms = match bug {
        Some(Bug::AbsentWithoutAsking | Bug::LaggingLookUp) => 0,
        Some(Bug::LateCall | Bug::RecoverAsIfAlone) => 0,
        _ => rng.pick(&[0, 0, 10 * 60_000, DAY, i64::MAX]),
    };
    let may_straggle = key_life_ms == i64::MAX && rng.chance(500);
    let mut rates = Rates {
        refused_connection: rate(rng, 150),
        lost_before: rate(rng, 200),
        lost_after: rate(rng, 200),
        reset: rate(rng, 150),
        slow: rate(rng, 150),
        doubled: rate(rng, 200),
        server_error: rate(rng, 150),
        error_for_ever: rate(rng, 50),
        fail: rate(rng, 100),
        decline: rate(rng, 200),
        pending: rate(rng, 300),
        for_ever: rate(rng, 20),
        action: rate(rng, 40),
        bounce: rate(rng, 50),
        notice: rate(rng, 700),
        deaf_look_up: rate(rng, 400),
        forgets: 0,
        wavers: 0,
        cancel: 0,
        turn_about: 0,
        by_hand: rate(rng, 10),
    };
    if may_straggle {
        rates.refused_connection = 0;
        rates.fail = 0;
    }
    Policy {
        recourse: Recourse::LookUp,
        key_life_ms,
        has_guard: rng.chance(500),
        shows_declines: rng.chance(600),
        deadline_ms: rng.pick(&[2_000, 10_000, 30_000]),
        may_straggle,
        straggles: 60,
        notices_wander: false,
        look_up_lag_ms: if bug == Some(Bug::LaggingLookUp) { 5 * 60_000 } else { 0 },
        rates,
    }
}
