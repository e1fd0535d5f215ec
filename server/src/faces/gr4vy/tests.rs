//! Whole exchanges with the face over the real engine and store. Only the PSP is the tests' own.

mod exchange;
mod stage;

use serde_json::{Value, json};

use self::stage::{Answer, Stage};

/// Pointers of an error's details.
fn pointers(answer: &Answer) -> Vec<&str> {
    let details = answer.body["details"].as_array().expect("a list");
    details
        .iter()
        .map(|detail| detail["pointer"].as_str().expect("a text"))
        .collect()
}

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.body["type"], "error");
    assert_eq!(answer.body["code"], code, "{}", answer.text);
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

fn gift_card(redemption: &str) -> Value {
    json!({"target_type": "gift-card-redemption", "target_id": redemption})
}

#[test]
fn no_two_routes_conflict() {
    drop(super::routes());
}
