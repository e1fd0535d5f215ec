//! The refunds of one payment in the recording's course and in ours, side by side. Where a decision
//! let them part, recorded lists are turned into ours before they are compared.

use super::money::major;
use super::tree::Tree;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) exponent: usize,
    /// In the order of creation.
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    /// The recorded server made this refund.
    pub(super) recorded: bool,
    /// Ours made it.
    pub(super) ours: bool,
    /// Made here without the refund reason that the recording has.
    pub(super) reasonless: bool,
    /// Why only one of the two made it.
    pub(super) decision: Option<&'static str>,
}

impl Row {
    pub(super) fn both() -> Row {
        Row { recorded: true, ours: true, reasonless: false, decision: None }
    }
}

impl Ledger {
    pub(super) fn new(exponent: usize) -> Ledger {
        Ledger { exponent, rows: Vec::new() }
    }

    /// Changes a recorded payment to our course of things; the decisions that it took.
    pub(super) fn apply(
        &self,
        payment: &mut Tree,
        held: impl FnOnce() -> i64,
    ) -> Vec<&'static str> {
        if let Some(Tree::List(items)) = payment.at_mut("/refunds") {
            *items = self.list(by_creation(std::mem::take(items)));
        }
        let decisions: Vec<&'static str> =
            self.rows.iter().filter_map(|row| row.decision).collect();
        let lists = payment.at("/refunds").is_some();
        let totals = payment.at("/payment_collection/refunded_amount").is_some();
        if decisions.is_empty() || !(lists || totals) {
            return Vec::new();
        }
        if totals {
            self.totals(payment, held());
        }
        decisions
    }

    fn list(&self, recorded: Vec<Tree>) -> Vec<Tree> {
        let mut recorded = recorded.into_iter();
        let mut list = Vec::new();
        for row in &self.rows {
            let item = if row.recorded { recorded.next() } else { Some(Tree::Any) };
            let Some(mut item) = item else { break };
            if row.reasonless {
                without_reason(&mut item);
            }
            if row.ours {
                list.push(item);
            }
        }
        // More than any line made: left for the comparison to find.
        list.extend(recorded);
        list
    }

    fn totals(&self, payment: &mut Tree, held: i64) {
        let text = major(held, self.exponent);
        if let Some(shown) = payment.at_mut("/payment_collection/refunded_amount")
            && let Ok(number) = Tree::read(text.as_bytes())
        {
            *shown = number;
        }
        if let Some(shown) = payment.at_mut("/payment_collection/raw_refunded_amount/value") {
            *shown = Tree::Text(text);
        }
    }
}

/// The original lists refunds oldest first as long as none of them has a reason, and in no order
/// that can be relied on otherwise; ours are always oldest first. The ids tell the order: a ULID
/// begins with its time.
fn by_creation(mut refunds: Vec<Tree>) -> Vec<Tree> {
    let id =
        |refund: &Tree| refund.member("id").and_then(Tree::text).unwrap_or_default().to_owned();
    refunds.sort_by_key(id);
    refunds
}

fn without_reason(refund: &mut Tree) {
    for name in ["/refund_reason_id", "/refund_reason"] {
        if let Some(shown) = refund.at_mut(name) {
            *shown = Tree::Null;
        }
    }
}

#[test]
fn a_refund_that_only_the_recording_made_is_taken_out_of_its_lists() {
    let mut ledger = Ledger::new(2);
    ledger.rows.push(Row::both());
    ledger.rows.push(Row { ours: false, decision: Some("V2-3"), ..Row::both() });
    ledger.rows.push(Row { recorded: false, decision: Some("V2-4"), ..Row::both() });
    ledger.rows.push(Row { reasonless: true, ..Row::both() });
    let text = br#"{"payment":{"refunds":[{"amount":2,"id":"3","refund_reason_id":"refr_x"},{"amount":1,"id":"1"},{"amount":33.333,"id":"2"}],
        "payment_collection":{"refunded_amount":36.333}}}"#;
    let mut body = Tree::read(text).expect("JSON");
    let payment = body.at_mut("/payment").expect("a payment");
    assert_eq!(ledger.apply(payment, || 350), ["V2-3", "V2-4"]);
    assert_eq!(
        body.to_string(),
        r#"{"payment":{"refunds":[{"amount":1,"id":"1"},<any>,{"amount":2,"id":"3","refund_reason_id":null}],"payment_collection":{"refunded_amount":3.5}}}"#
    );
}
