//! What the books say of a payment, and every face's own totals held against them.

use serde_json::{Value, json};

use crate::support::{Face, Request, Server, Shop};

pub(super) fn native(server: &Server, shop: &Shop, path: &str) -> Value {
    let answer = server.send(&Request::get(path).bearer(&shop.native.token));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// Movements with captures by their place, what they come to for each capture, and the totals.
#[derive(Debug, PartialEq)]
pub(super) struct Books {
    lines: Vec<String>,
    accounts: Vec<Value>,
    totals: Value,
}

pub(super) fn books(server: &Server, shop: &Shop, payment: &Value) -> Books {
    let id = payment["id"].as_str().expect("an id");
    let journal = native(server, shop, &format!("/api/payments/{id}/journal?limit=100"));
    assert_eq!(journal["next_cursor"], Value::Null, "one page holds all");
    let mut accounts = journal["accounts"].as_array().expect("accounts").clone();
    // In the order in which the captures were made.
    let lines = journal["items"].as_array().expect("items");
    let mut captures: Vec<Value> = Vec::new();
    for line in lines {
        if !captures.contains(&line["capture"]) {
            captures.push(line["capture"].clone());
        }
    }
    let place = |capture: &Value| captures.iter().position(|other| other == capture);
    accounts.sort_by_key(|account| place(&account["capture"]));
    for account in &mut accounts {
        account["capture"] = Value::Null;
    }
    let line = |item: &Value| {
        let place = place(&item["capture"]);
        format!("{} > {} {} of {place:?}", item["debit"], item["credit"], item["amount"])
    };
    let lines = lines.iter().map(line).collect();
    let totals = native(server, shop, &format!("/api/payments/{id}"))["totals"].clone();
    Books { lines, accounts, totals }
}

/// What the journal says of the payment method's captures, and of all.
#[derive(Clone, Copy, Default)]
struct Sums {
    captured: i64,
    refunded: i64,
    reserved: i64,
}

fn sums<'a>(accounts: impl Iterator<Item = &'a Value>) -> Sums {
    accounts.fold(Sums::default(), |sums, account| {
        let held = |name: &str| account[name].as_i64().expect("cents");
        let parts = ["refundable", "reserved", "refunded", "disputed"];
        Sums {
            captured: sums.captured + parts.map(held).iter().sum::<i64>(),
            refunded: sums.refunded + held("refunded"),
            reserved: sums.reserved + held("reserved"),
        }
    })
}

/// A number of major units as written, in cents.
fn cents(value: &Value) -> i64 {
    let text = value.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{rest:0<2}").parse().expect("two decimals")
}

fn total<'a>(rows: impl Iterator<Item = &'a Value>, of: impl Fn(&Value) -> i64) -> i64 {
    rows.map(of).sum()
}

/// `payment`: as the native API shows it now.
pub(super) fn told(server: &Server, shop: &Shop, payment: &Value) {
    let id = payment["id"].as_str().expect("an id");
    let journal = native(server, shop, &format!("/api/payments/{id}/journal?limit=100"));
    let accounts = journal["accounts"].as_array().expect("accounts");
    let own: Vec<&Value> =
        payment["captures"].as_array().expect("captures").iter().map(|c| &c["id"]).collect();
    let (all, primary) = (
        sums(accounts.iter()),
        sums(accounts.iter().filter(|account| own.contains(&&account["capture"]))),
    );
    let totals = &payment["totals"];
    for (name, sum) in
        [("captured", all.captured), ("refunded", all.refunded), ("reserved", all.reserved)]
    {
        assert_eq!(totals[name], json!(sum), "{name}: {payment}");
    }
    let show = Show { server, shop, payment };
    show.medusa(primary);
    show.mpg(primary);
    show.gr4vy(primary, all);
    show.loop_payments(all);
}

struct Show<'a> {
    server: &'a Server,
    shop: &'a Shop,
    payment: &'a Value,
}

impl Show<'_> {
    fn id(&self, spelling: &str) -> &str {
        self.payment["ids"][spelling].as_str().expect("an id")
    }

    fn read(&self, face: Face, path: &str) -> Value {
        let answer = self.server.send(&self.shop.credential(face, Request::get(path)));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Both count open refunds: their money is promised.
    fn medusa(&self, primary: Sums) {
        let promised = primary.refunded + primary.reserved;
        let id = self.id("medusa");
        let v1 = self.read(Face::MedusaV1, &format!("/medusa/v1/admin/payments/{id}"));
        assert_eq!(v1["payment"]["amount_refunded"], json!(promised), "{v1}");
        assert_eq!(v1["payment"]["captured_at"].is_null(), primary.captured == 0, "{v1}");
        let v2 = self.read(Face::MedusaV2, &format!("/medusa/v2/admin/payments/{id}"));
        let rows = |name: &str| {
            total(v2["payment"][name].as_array().expect("rows").iter(), |row| cents(&row["amount"]))
        };
        assert_eq!((rows("refunds"), rows("captures")), (promised, primary.captured), "{v2}");
    }

    fn mpg(&self, primary: Sums) {
        let order = self.read(Face::Mpg, &format!("/mpg/v1/orders/{}", self.id("uuid")));
        assert_eq!(order["refunded_amount"], json!(primary.refunded), "{order}");
        assert_eq!(order["captured_amount"], json!(primary.captured), "{order}");
        // What a final capture lets go of is no void there (decision B23).
        let voids = self.payment["voids"].as_array().expect("voids").iter();
        let voids = voids.filter(|void| void["of_final_capture"] == json!(false));
        let voided = total(voids, |void| void["amount"].as_i64().expect("cents"));
        assert_eq!(order["voided_amount"], json!(voided), "{order}");
    }

    fn gr4vy(&self, primary: Sums, all: Sums) {
        let path = format!("/gr4vy/transactions/{}", self.id("uuid"));
        let shown = self.read(Face::Gr4vy, &path);
        assert_eq!(shown["refunded_amount"], json!(primary.refunded), "{shown}");
        assert_eq!(shown["captured_amount"], json!(primary.captured), "{shown}");
        let cards = shown["gift_card_redemptions"].as_array().expect("redemptions").iter();
        let of_cards = total(cards, |card| card["refunded_amount"].as_i64().expect("cents"));
        assert_eq!(of_cards, all.refunded - primary.refunded, "{shown}");
    }

    fn loop_payments(&self, all: Sums) {
        let list = self.read(Face::Loop, "/loop/v1/admin/refunds?limit=200");
        let rows = list["refunds"].as_array().expect("refunds");
        let own = rows.iter().filter(|row| row["payment_id"] == self.id("medusa"));
        let of = |status: &str| {
            total(own.clone().filter(|row| row["status"] == status), |row| {
                row["amount_cents"].as_i64().expect("cents")
            })
        };
        assert_eq!((of("succeeded"), of("pending")), (all.refunded, all.reserved), "{list}");
    }
}
