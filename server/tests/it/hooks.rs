//! Webhooks from a PSP, from its signature to what every face shows; and the same without any.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::support::stripe::{self, HOOK_SECRET, Stripe, deliver, webhook};
use super::support::{FACES, Face, Options, Request, SEALING_KEY, Server, Shop};

/// How long the books may take to follow the PSP.
const FOLLOW_MAX: Duration = Duration::from_secs(20);

struct House {
    server: Server,
    shop: Shop,
    stripe: Stripe,
    hook_path: String,
}

impl House {
    fn open(sweep_ms: &str) -> House {
        let options = Options::default().env("REQUITE_SEALING_KEY", SEALING_KEY);
        let server = Server::start(options.env("REQUITE_PSP_SWEEP_MS", sweep_ms));
        let shop = Shop::open(&server.cli(), "Shop");
        let stripe = Stripe::start();
        let hook_path = stripe.open_account(&server.cli(), &shop.merchant.id);
        House { server, shop, stripe, hook_path }
    }

    /// A captured payment of 100.00 USD that Stripe calls `charge`.
    fn payment(&self, charge: &str) -> Value {
        self.server.register(
            &self.shop.native,
            &json!({
                "amount": 10_000, "currency": "USD", "captures": [{"amount": 10_000}],
                "order": format!("order_{charge}"),
                "connector": stripe::ACCOUNT, "connector_payment": charge,
            }),
        )
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.server.send(&Request::get(path).bearer(&self.shop.native.token));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    fn view(&self, payment: &Value) -> Value {
        self.get(&format!("/api/payments/{}", payment["id"].as_str().expect("an id")))
    }

    fn refund(&self, payment: &Value, amount: i64) -> u16 {
        let request = self.shop.native.refund(payment);
        self.server.send(&request.json(&json!({"amount": amount}))).status
    }

    fn refundable(&self, payment: &Value) -> i64 {
        self.view(payment)["totals"]["refundable"].as_i64().expect("a total")
    }

    fn statuses(&self, payment: &Value) -> Vec<String> {
        let view = self.view(payment);
        let refunds = view["refunds"].as_array().expect("refunds").iter();
        refunds.map(|refund| refund["status"].as_str().expect("a status").to_owned()).collect()
    }

    fn notices(&self, state: &str) -> Vec<Value> {
        let listed = self.get(&format!("/api/notices?state={state}&limit=100"));
        listed["items"].as_array().expect("items").clone()
    }

    fn eventually(&self, what: &str, is_so: impl Fn(&House) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < FOLLOW_MAX, "never {what}: {}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every invariant holds in what is on the disk.
    fn verify(&self) {
        let found = self.server.cli().json(&["verify"], "");
        assert_eq!(found[0]["violations"], 0, "{found:?}");
    }
}

/// F20: what fails after it succeeded is reversed in every face, and the money is there again.
#[test]
fn a_refund_that_fails_later_is_reversed_in_every_face() {
    let house = House::open("0");
    for face in FACES {
        let charge = format!("ch_{face:?}");
        let payment = house.payment(&charge);
        let answer = house.server.send(&house.shop.refund(face, &payment, 4_000));
        assert!(face.accepted(&answer), "{face:?}: {}", answer.text());
        assert_eq!(house.refundable(&payment), 6_000, "{face:?}");
        let refund = house.stripe.becomes("failed");
        let told = house.stripe.event(&format!("evt_{face:?}"), "refund.failed", &refund);
        for _ in 0..3 {
            assert_eq!(deliver(&house.server, &house.hook_path, &told).status, 200);
        }
        house.eventually("reversed", |house| house.statuses(&payment) == ["reversed"]);
        assert_eq!(house.refundable(&payment), 10_000, "{face:?}");
        assert!(!shows(&house, face, &payment, "4000"), "{face:?} still counts it");
    }
    let alarms = house.get("/api/alarms");
    let alarms = alarms["items"].as_array().expect("items");
    assert_eq!(alarms.len(), FACES.len());
    assert!(alarms.iter().all(|alarm| alarm["alarm"] == "reversed"), "{alarms:?}");
    house.eventually("processed", |house| house.notices("processed").len() == FACES.len());
    house.verify();
}

/// Does a face count a refund of so many minor units as given back?
fn shows(house: &House, face: Face, payment: &Value, cents: &str) -> bool {
    let id = |spelling: &str| payment["ids"][spelling].as_str().expect("a spelling").to_owned();
    let order = payment["order"].as_str().expect("an order");
    let path = match face {
        Face::MedusaV1 => format!("/medusa/v1/admin/orders/{order}"),
        Face::MedusaV2 => format!("/medusa/v2/admin/payments/{}", id("medusa")),
        Face::Mpg => format!("/mpg/v1/orders/{}", id("uuid")),
        Face::Gr4vy => format!("/gr4vy/transactions/{}", id("uuid")),
        Face::Loop => "/loop/v1/admin/refunds?limit=100".to_owned(),
    };
    let answer = house.server.send(&house.shop.credential(face, Request::get(&path)));
    assert_eq!(answer.status, 200, "{face:?}: {}", answer.text());
    let shown = answer.json();
    let counted = match face {
        Face::MedusaV1 => shown["order"]["refunded_total"].to_string(),
        Face::MedusaV2 => {
            let refunds = shown["payment"]["refunds"].as_array().expect("refunds");
            let minor = refunds.iter().map(|refund| format!("{}00", refund["amount"]));
            minor.collect::<Vec<_>>().join(",")
        }
        Face::Mpg | Face::Gr4vy => shown["refunded_amount"].to_string(),
        Face::Loop => {
            let rows = shown["refunds"].as_array().expect("refunds").iter();
            let own = rows.filter(|row| row["charge_id"] == payment["connector_payment"]);
            let counted = own.filter(|row| row["status"] == "succeeded");
            counted.map(|row| row["amount_cents"].to_string()).collect::<Vec<_>>().join(",")
        }
    };
    counted == cents
}

/// F21: made in the dashboard, told by a webhook or found in the PSP's list; the next refund through
/// any face is judged on what is left, and every face counts it.
#[test]
fn a_refund_made_in_the_dashboard_counts_in_every_face() {
    for sweep_ms in ["0", "200"] {
        let house = House::open(sweep_ms);
        for face in FACES {
            let charge = format!("ch_{face:?}");
            let payment = house.payment(&charge);
            let refund = house.stripe.dashboard(&charge, 9_900, "succeeded");
            if sweep_ms == "0" {
                let told = house.stripe.event(&format!("evt_{face:?}"), "refund.created", &refund);
                assert_eq!(deliver(&house.server, &house.hook_path, &told).status, 200);
            }
            house.eventually("on the books", |house| house.refundable(&payment) == 100);
            let view = house.view(&payment);
            let shown = &view["refunds"][0];
            assert_eq!(
                (&shown["face"], &shown["status"]),
                (&json!("external"), &json!("succeeded"))
            );
            assert_eq!(shown["psp_refund_id"], json!(refund));
            let made = house.stripe.count();
            let refused = house.server.send(&house.shop.refund(face, &payment, 4_000));
            assert!(!face.accepted(&refused), "{face:?}: {}", refused.text());
            assert_eq!(house.stripe.count(), made, "{face:?} asked the PSP");
            assert!(shows(&house, face, &payment, "9900"), "{face:?} does not count it");
        }
        assert_eq!(house.get("/api/alarms")["items"], json!([]));
        house.verify();
    }
}

/// F37: no webhook ever comes, and a refund that succeeded fails: once a day the PSP's list is read from
/// further back.
#[test]
fn a_refund_that_fails_later_is_found_without_webhooks() {
    let house = House::open("200");
    let payment = house.payment("ch_1");
    assert_eq!(house.refund(&payment, 4_000), 201);
    house.stripe.is_old(10);
    house.stripe.becomes("failed");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let yesterday = i64::try_from(since.as_millis()).expect("a time") - 86_400_000;
    let swept = format!("update connector_sweep set since_ms = {yesterday}");
    house.eventually("reversed", |house| {
        house.server.change_store(&swept);
        house.statuses(&payment) == ["reversed"]
    });
    assert_eq!(house.refundable(&payment), 10_000);
    house.verify();
}

/// F34: what nobody's secret signed leaves nothing behind, and an account that is not there answers
/// the same.
#[test]
fn what_is_forged_is_answered_400_and_leaves_nothing_behind() {
    let house = House::open("0");
    let payment = house.payment("ch_1");
    assert_eq!(house.refund(&payment, 4_000), 201);
    let refund = house.stripe.becomes("failed");
    let told = house.stripe.event("evt_forged", "refund.failed", &refund);
    let nobody = "/hooks/0191f5a7-44d3-7430-8739-2d80821416bf";
    let forged = house.server.send(&webhook(&house.hook_path, "whsec_other", &told));
    assert_eq!(forged.status, 400);
    for request in [
        webhook(nobody, HOOK_SECRET, &told),
        webhook(nobody, "whsec_decoy", &told),
        webhook(&house.hook_path, "whsec_decoy", &told),
        webhook("/hooks/x", HOOK_SECRET, &told),
        Request::post(&house.hook_path).bytes(told.to_string()),
        Request::post(&house.hook_path).header("stripe-signature", "t=1,v1=00").bytes("{}"),
    ] {
        let answer = house.server.send(&request);
        assert_eq!((answer.status, answer.text()), (400, forged.text()), "{}", request.target);
    }
    let long = Request::post(&house.hook_path).bytes(vec![b' '; 256 * 1024 + 1]);
    assert_eq!(house.server.send(&long).status, 413);
    assert_eq!(house.server.send(&Request::get(&house.hook_path)).status, 400);
    assert_eq!(house.get("/api/notices")["items"], json!([]));
    assert_eq!(house.statuses(&payment), ["succeeded"]);
    house.verify();
}

/// While a secret is rotated the one before it signs as well; then it does not.
#[test]
fn two_secrets_sign_while_one_is_rotated() {
    let house = House::open("0");
    let (cli, merchant) = (house.server.cli(), &house.shop.merchant.id);
    let told = |id: &str| json!({"id": id, "type": "customer.created", "data": {"object": {}}});
    let is_taken = |secret: &str, id: &str| {
        let answer = house.server.send(&webhook(&house.hook_path, secret, &told(id)));
        answer.status == 200
    };
    house.eventually("known", |_| is_taken(HOOK_SECRET, "evt_0"));
    assert_eq!(house.stripe.set_secret(&cli, merchant, "whsec_new", &[]), house.hook_path);
    house.eventually("rotated", |_| is_taken("whsec_new", "evt_1"));
    assert!(is_taken(HOOK_SECRET, "evt_2"));
    house.stripe.set_secret(&cli, merchant, "whsec_newer", &[]);
    house.eventually("rotated", |_| is_taken("whsec_newer", "evt_3"));
    assert!(is_taken("whsec_new", "evt_4") && !is_taken(HOOK_SECRET, "evt_5"));
    house.stripe.set_secret(&cli, merchant, "whsec_newer", &["--only"]);
    house.eventually("alone", |_| !is_taken("whsec_new", "evt_6"));
    assert!(is_taken("whsec_newer", "evt_7"));
    let ignored = house.notices("ignored");
    assert!(ignored.iter().all(|notice| notice["event"] == "customer.created"), "{ignored:?}");
    for (name, bytes) in house.server.files() {
        assert!(
            !String::from_utf8_lossy(&bytes).contains("whsec_"),
            "{name} has a secret in clear"
        );
    }
}

/// F35: what nobody registered is put aside with a reason, and never an error to the PSP.
#[test]
fn a_payment_that_nobody_registered_is_put_aside() {
    let house = House::open("0");
    let refund = house.stripe.dashboard("ch_of_nobody", 500, "succeeded");
    let told = house.stripe.event("evt_1", "refund.created", &refund);
    assert_eq!(deliver(&house.server, &house.hook_path, &told).status, 200);
    house.eventually("looked at", |house| {
        house.notices("waiting").iter().any(|notice| notice["result"] != Value::Null)
    });
    let waiting = house.notices("waiting");
    assert_eq!(waiting[0]["result"], "no payment is registered with ch_of_nobody");
    // It is registered a moment later: the notice is not lost.
    let payment = house.payment("ch_of_nobody");
    house.eventually("on the books", |house| house.refundable(&payment) == 9_500);
    let odd = json!({"id": "evt_2", "type": "refund.updated", "data": {"object": {"id": 5}}});
    assert_eq!(deliver(&house.server, &house.hook_path, &odd).status, 200);
    house.eventually("put aside", |house| house.notices("quarantined").len() == 1);
    house.verify();
}

/// The PSP was thanked, and then the power went out: the webhook is worked on afterwards.
#[test]
fn what_was_thanked_for_survives_a_crash() {
    let mut house = House::open("0");
    let payment = house.payment("ch_1");
    assert_eq!(house.refund(&payment, 4_000), 201);
    let refund = house.stripe.becomes("failed");
    let told = house.stripe.event("evt_1", "refund.failed", &refund);
    house.eventually("known", |house| {
        let early = json!({"id": "evt_0", "type": "x", "data": {"object": {}}});
        deliver(&house.server, &house.hook_path, &early).status == 200
    });
    assert_eq!(deliver(&house.server, &house.hook_path, &told).status, 200);
    house.server.kill9();
    // As a restart an hour later would find it: nobody has claimed it any more.
    let sql = "update inbox_message set next_try_at_ms = 0 where next_try_at_ms is not null";
    house.server.change_store(sql);
    house.server.start_again();
    house.eventually("reversed", |house| house.statuses(&payment) == ["reversed"]);
    house.verify();
}

/// F32: at once, under one id and under many.
#[test]
fn a_thousand_webhooks_at_once_are_one_transition() {
    let house = House::open("0");
    let payment = house.payment("ch_1");
    assert_eq!(house.refund(&payment, 4_000), 201);
    let before =
        house.get(&format!("/api/payments/{}/events", payment["id"].as_str().expect("id")));
    let before = before["items"].as_array().expect("events").len();
    let refund = house.stripe.becomes("failed");
    for round in 0..10 {
        let requests: Vec<Request> = (0..100)
            .map(|number| {
                let id = if round % 2 == 0 { "evt_1".to_owned() } else { format!("evt_{number}") };
                let told = house.stripe.event(&id, "refund.failed", &refund);
                webhook(&house.hook_path, HOOK_SECRET, &told)
            })
            .collect();
        let answers = house.server.send_at_once(&requests);
        assert!(answers.iter().all(|answer| answer.status == 200), "round {round}");
    }
    house.eventually("all done", |house| house.notices("waiting").is_empty());
    assert_eq!(house.statuses(&payment), ["reversed"]);
    let after = house.get(&format!("/api/payments/{}/events", payment["id"].as_str().expect("id")));
    assert_eq!(after["items"].as_array().expect("events").len(), before + 1);
    assert_eq!(house.refundable(&payment), 10_000);
    house.verify();
}
