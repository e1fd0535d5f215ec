//! One command, whichever face it comes through: equal journal and equal totals (I15).
//!
//! A seed makes a history of refunds (parts, all that is left, too much, nothing) with what the PSP
//! answers and which are sent again under their keys. Each face plays it on a payment of its own;
//! afterwards the journals are equal line by line, and every face tells every payment's totals as the
//! journal has them. `REQUITE_DIFFERENTIAL_SEED=n` plays one history again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{FACES, Face, Options, Request, Server, Shop};

const HISTORIES: u64 = 24;
const STEPS: u64 = 6;
const AMOUNT: u64 = 10_000;
/// How long a lost call may take to be looked up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Xorshift: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// An amount to ask for, and whether it is asked for twice under one key.
struct Step {
    cents: u64,
    is_repeated: bool,
}

struct History {
    captures: Vec<u64>,
    script: Vec<&'static str>,
    steps: Vec<Step>,
}

fn history(seed: u64) -> History {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let first = 1 + dice.below(AMOUNT - 1);
    let answers = ["approve", "approve", "decline:51", "fail", "pending", "lost"];
    let mut lost = 0;
    let mut left = AMOUNT;
    let mut steps = Vec::new();
    let mut script = Vec::new();
    for _ in 0..STEPS {
        let cents = match dice.below(6) {
            0 => left,
            1 => left + 1,
            2 => 0,
            _ => 1 + dice.below(4_000),
        };
        steps.push(Step { cents, is_repeated: dice.below(2) == 0 });
        if (1..=left).contains(&cents) {
            let mut answer = answers[usize::try_from(dice.below(6)).expect("small")];
            lost += u64::from(answer == "lost");
            if lost > 1 {
                answer = "approve";
            }
            script.push(answer);
            if !matches!(answer, "decline:51" | "fail") {
                left -= cents;
            }
        }
    }
    History { captures: vec![first, AMOUNT - first], script, steps }
}

fn register(server: &Server, shop: &Shop, history: &History) -> Value {
    let captures: Vec<Value> = history.captures.iter().map(|c| json!({"amount": c})).collect();
    let body = json!({"amount": AMOUNT, "currency": "USD", "captures": captures,
        "connector": "sandbox", "sandbox": history.script});
    server.register(&shop.native, &body)
}

fn native(server: &Server, shop: &Shop, path: &str) -> Value {
    let answer = server.send(&Request::get(path).bearer(&shop.native.token));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

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

fn play(server: &Server, shop: &Shop, face: Option<Face>, payment: &Value, history: &History) {
    let id = payment["id"].as_str().expect("an id");
    for (number, step) in history.steps.iter().enumerate() {
        let cents = u32::try_from(step.cents).expect("small");
        let request = match face {
            Some(face) => shop.refund(face, payment, cents),
            None => Request::post(&format!("/api/payments/{id}/refunds"))
                .bearer(&shop.native.token)
                .json(&json!({"amount": cents})),
        };
        let request = request.header("Idempotency-Key", &format!("{id}-{number}"));
        let first = server.send(&request);
        settled(server, shop, payment);
        // Without a word for "unknown", Loop tells the outcome once there is one.
        if step.is_repeated {
            let again = server.send(&request);
            let told = (first.status, first.text());
            let is_untold = face == Some(Face::Loop) && first.status == 503;
            assert!(is_untold || (again.status, again.text()) == told, "{face:?}: {told:?}");
        }
    }
}

/// Movements with captures by their place, and what they come to.
fn books(server: &Server, shop: &Shop, payment: &Value) -> (Vec<String>, Vec<Value>) {
    let id = payment["id"].as_str().expect("an id");
    let journal = native(server, shop, &format!("/api/payments/{id}/journal?limit=100"));
    let mut accounts = journal["accounts"].as_array().expect("accounts").clone();
    let captures: Vec<Value> = accounts.iter().map(|account| account["capture"].clone()).collect();
    for account in &mut accounts {
        account["capture"] = Value::Null;
    }
    let line = |item: &Value| {
        let place = captures.iter().position(|capture| *capture == item["capture"]);
        format!("{} > {} {} of {place:?}", item["debit"], item["credit"], item["amount"])
    };
    (journal["items"].as_array().expect("items").iter().map(line).collect(), accounts)
}

/// A number of major units as written, in cents.
fn cents(value: &Value) -> i64 {
    let text = value.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{rest:0<2}").parse().expect("two decimals")
}

/// Every face's own words for what was given back, and for what is given back or promised.
fn told(server: &Server, shop: &Shop, payment: &Value) {
    let totals = &settled(server, shop, payment)["totals"];
    let (_, accounts) = books(server, shop, payment);
    let sum = |name: &str| accounts.iter().map(|a| a[name].as_i64().expect("cents")).sum::<i64>();
    let (refunded, reserved) = (sum("refunded"), sum("reserved"));
    assert_eq!((&totals["refunded"], &totals["reserved"]), (&json!(refunded), &json!(reserved)));
    let id = |spelling: &str| payment["ids"][spelling].as_str().expect("an id").to_owned();
    let show = |face: Face, path: String| {
        let answer = server.send(&shop.credential(face, Request::get(&path)));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let both = refunded + reserved;
    let v1 = show(Face::MedusaV1, format!("/medusa/v1/admin/payments/{}", id("medusa")));
    assert_eq!(v1["payment"]["amount_refunded"], json!(both), "{v1}");
    let v2 = show(Face::MedusaV2, format!("/medusa/v2/admin/payments/{}", id("medusa")));
    let rows = v2["payment"]["refunds"].as_array().expect("refunds");
    assert_eq!(rows.iter().map(|row| cents(&row["amount"])).sum::<i64>(), both, "{v2}");
    let mpg = show(Face::Mpg, format!("/mpg/v1/orders/{}", id("uuid")));
    assert_eq!(mpg["refunded_amount"], json!(refunded), "{mpg}");
    let gr4vy = show(Face::Gr4vy, format!("/gr4vy/transactions/{}", id("uuid")));
    assert_eq!(gr4vy["refunded_amount"], json!(refunded), "{gr4vy}");
    assert_eq!(gr4vy["captured_amount"], json!(AMOUNT), "{gr4vy}");
    let list = show(Face::Loop, "/loop/v1/admin/refunds?limit=200".to_owned());
    let rows = list["refunds"].as_array().expect("refunds").iter();
    let of = |status: &str| {
        let own = rows.clone().filter(|row| row["payment_id"] == id("medusa").as_str());
        let own = own.filter(|row| row["status"] == status);
        own.map(|row| row["amount_cents"].as_i64().expect("cents")).sum::<i64>()
    };
    assert_eq!((of("succeeded"), of("pending")), (refunded, reserved), "{list}");
}

fn same_in_every_face(server: &Server, seed: u64) {
    let history = history(seed);
    let shop = Shop::open(&server.cli(), &format!("Shop {seed}"));
    let payment = register(server, &shop, &history);
    play(server, &shop, None, &payment, &history);
    told(server, &shop, &payment);
    let expected = books(server, &shop, &payment);
    for face in FACES {
        let payment = register(server, &shop, &history);
        play(server, &shop, Some(face), &payment, &history);
        told(server, &shop, &payment);
        assert_eq!(books(server, &shop, &payment), expected, "{face:?} and native, seed {seed}");
    }
}

#[test]
fn one_history_gives_the_same_journal_and_totals_through_every_face() {
    let server = Server::start(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "200"));
    let seeds: Vec<u64> = match std::env::var("REQUITE_DIFFERENTIAL_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=HISTORIES).collect(),
    };
    std::thread::scope(|scope| {
        let run = |seed: u64| {
            let server = &server;
            scope.spawn(move || same_in_every_face(server, seed))
        };
        let runs: Vec<_> = seeds.into_iter().map(|seed| (seed, run(seed))).collect();
        for (seed, run) in runs {
            let again = format!("play it again with REQUITE_DIFFERENTIAL_SEED={seed}");
            run.join().unwrap_or_else(|_| panic!("seed {seed} failed; {again}"));
        }
    });
    let audited = server.cli().run(&["verify"], "");
    assert_eq!(audited.code, Some(0), "{audited:?}");
}
