//! Whole exchanges with the face over the real engine and store. Only the PSP is the tests' own.

mod book;
mod exchange;
mod history;
mod lists;
mod pay;
mod stage;
mod whole;

use axum::http::Method;
use serde_json::{Value, json};

use self::stage::{Call, Stage, token};
use crate::faces::testing::Answer;

/// Pointers of an error's details.
fn pointers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let details = body["details"].as_array().expect("a list").iter();
    details.map(|detail| detail["pointer"].as_str().expect("a text").to_owned()).collect()
}

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(answer.json()["code"], code, "{}", answer.text);
    assert_eq!(answer.json()["status"], status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

fn gift_card(redemption: &str) -> Value {
    json!({"target_type": "gift-card-redemption", "target_id": redemption})
}

#[test]
fn no_two_routes_conflict() {
    drop(super::routes());
}
