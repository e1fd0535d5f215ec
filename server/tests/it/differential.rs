//! One command history, whichever face it comes through: equal journal and equal totals (I15).
//!
//! A seed makes a history: how the payment begins (registered, authorised or taken at once, with gift
//! cards or without, wholly captured or not), then refunds of it and of its gift card, captures, voids
//! and extensions (parts, all that is left, too much, nothing), what the PSP answers, what is sent with
//! a key, sent again, or sent under a key that stands for something else. Each face plays it on a payment
//! of its own, as far as it has words for it, and then all faces play it on one payment, step by step
//! another one. Afterwards the journals are equal line by line, and every face tells every payment's
//! totals as the journal has them. `REQUITE_DIFFERENTIAL_SEED=n` plays one history again,
//! `REQUITE_DIFFERENTIAL_HISTORIES=n` plays so many.
//!
//! Start at `same_in_every_face`.

mod asked;
mod begin;
mod history;
mod told;

use std::time::{Duration, Instant};

use serde_json::Value;

use self::history::{Deed, Dice, History, Keyed, Step, history};
use self::told::{books, native, told};
use super::support::{FACES, Face, Options, Request, Server, Shop};

const HISTORIES: u64 = 20;
/// Histories that are played at once.
const ABREAST: usize = 10;
/// How long a lost call may take to be looked up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The payment once every lost call was looked up.
fn settled(server: &Server, shop: &Shop, payment: &Value) -> Value {
    let path = format!("/api/payments/{}", payment["id"].as_str().expect("an id"));
    let until = Instant::now() + PATIENCE;
    loop {
        let shown = native(server, shop, &path);
        let refunds = shown["refunds"].as_array().expect("refunds");
        let is_open = |refund: &Value| {
            matches!(refund["status"].as_str(), Some("unknown" | "dispatched" | "ready"))
        };
        if !refunds.iter().any(is_open) {
            return shown;
        }
        assert!(Instant::now() < until, "{path} stays open: {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One payment that a history is played on.
struct Play<'a> {
    server: &'a Server,
    shop: &'a Shop,
    payment: Value,
}

impl Play<'_> {
    /// Plays one step through a face, or through the native API where it has no words for it.
    fn step(&mut self, face: Option<Face>, number: usize, step: Step) {
        self.payment = settled(self.server, self.shop, &self.payment);
        if step.deed == Deed::Look {
            return told(self.server, self.shop, &self.payment);
        }
        let key = self.key(number, step);
        let Some((face, request)) = self.asked(face, step.deed, key.as_deref()) else { return };
        let first = self.server.send(&request);
        self.payment = settled(self.server, self.shop, &self.payment);
        // Without a word for "unknown", Loop tells the outcome to whoever asks again.
        let is_untold = face == Some(Face::Loop) && first.status == 503;
        if is_untold || step.keyed == Keyed::Again {
            let again = self.server.send(&request);
            let same = (again.status, again.text()) == (first.status, first.text());
            assert!(is_untold || same, "{face:?}: {} {}", first.text(), again.text());
        }
        if step.keyed == Keyed::Misused
            && let Deed::Refund(cents) = step.deed
            && cents > 0
        {
            let other = self.asked(face, Deed::Refund(cents + 1), key.as_deref());
            let other = self.server.send(&other.expect("a refund again").1);
            assert!(matches!(other.status, 409 | 422), "{face:?}: {}", other.text());
        }
    }

    fn key(&self, number: usize, step: Step) -> Option<String> {
        let id = self.payment["id"].as_str().expect("an id");
        (step.keyed != Keyed::Not).then(|| format!("{id}-{number}"))
    }

    /// The request, and who takes it.
    fn asked(
        &self,
        face: Option<Face>,
        deed: Deed,
        key: Option<&str>,
    ) -> Option<(Option<Face>, Request)> {
        let (face, request) = asked::asked(self.shop, face, &self.payment, deed)?;
        let keyed = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        Some((face, keyed))
    }
}

/// `faces`: which face takes the step of this number.
fn play(
    server: &Server,
    shop: &Shop,
    history: &History,
    faces: impl Fn(usize) -> Option<Face>,
) -> told::Books {
    let payment = begin::begin(server, shop, faces(0), &history.start);
    let mut play = Play { server, shop, payment };
    for (number, step) in history.steps.iter().enumerate() {
        play.step(faces(number), number, *step);
    }
    let payment = settled(server, shop, &play.payment);
    told(server, shop, &payment);
    books(server, shop, &payment)
}

fn same_in_every_face(server: &Server, seed: u64) {
    let history = history(seed);
    let shop = Shop::open(&server.cli(), &format!("Shop {seed}"));
    let expected = play(server, &shop, &history, |_| None);
    for face in FACES {
        let books = play(server, &shop, &history, |_| Some(face));
        assert_eq!(books, expected, "{face:?} and native, seed {seed}: {history:?}");
    }
    let mixed = play(server, &shop, &history, |number| {
        let turn = Dice::new(seed ^ u64::try_from(number).expect("small") << 32).below(6);
        FACES.get(usize::try_from(turn).expect("small")).copied()
    });
    assert_eq!(mixed, expected, "mixed faces and native, seed {seed}: {history:?}");
}

#[test]
fn one_history_gives_the_same_journal_and_totals_through_every_face() {
    let server = Server::start(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "200"));
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds: Vec<u64> = match number("REQUITE_DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("REQUITE_DIFFERENTIAL_HISTORIES").unwrap_or(HISTORIES)).collect(),
    };
    for seeds in seeds.chunks(ABREAST) {
        std::thread::scope(|scope| {
            let run = |seed: u64| {
                let server = &server;
                scope.spawn(move || same_in_every_face(server, seed))
            };
            let runs: Vec<_> = seeds.iter().map(|&seed| (seed, run(seed))).collect();
            for (seed, run) in runs {
                let again = format!("play it again with REQUITE_DIFFERENTIAL_SEED={seed}");
                run.join().unwrap_or_else(|_| panic!("seed {seed} failed; {again}"));
            }
        });
    }
    let audited = server.cli().run(&["verify"], "");
    assert_eq!(audited.code, Some(0), "{audited:?}");
}
