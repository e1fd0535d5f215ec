//! Refunds of all instruments at once, and what is answered when nothing can be taken.

use std::collections::BTreeSet;

use super::*;

/// The same call six times at once.
async fn at_once(stage: &Stage, call: &Call) -> [Answer; 6] {
    let send = || stage.send(call.clone());
    let (a, b, c, d, e, f) = tokio::join!(send(), send(), send(), send(), send(), send());
    [a, b, c, d, e, f]
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.json()["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn of_many_whole_refunds_at_once_each_instrument_is_given_back_once() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500, 300], |_| ()).await;
    let call = stage.post(&format!("/transactions/{id}/refunds/all"), "{}");

    let answers = at_once(&stage, &call).await;

    let mut targets = Vec::new();
    for answer in &answers {
        if answer.status == 201 {
            let made = items(answer);
            targets.extend(made.into_iter().map(|item| item["target_id"].to_string()));
        } else {
            assert_error(answer, 400, "bad_request");
            assert_eq!(pointers(answer), ["/amount"]);
        }
    }
    let different: BTreeSet<&String> = targets.iter().collect();
    assert_eq!((targets.len(), different.len()), (3, 3), "{targets:?}");
    let read = stage.send(stage.get(&format!("/transactions/{id}"))).await.json();
    assert_eq!(read["refunded_amount"], 10_000);
    assert_eq!(read["gift_card_redemptions"][0]["refunded_amount"], 2_500);
    assert_eq!(read["gift_card_redemptions"][1]["refunded_amount"], 300);
}

#[tokio::test]
async fn of_many_whole_refunds_with_one_key_all_get_the_answer_of_the_first() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500, 300], |_| ()).await;
    let path = format!("/transactions/{id}/refunds/all");
    let call = stage.post(&path, "{}").header("idempotency-key", "k");

    let answers = at_once(&stage, &call).await;

    let last = stage.send(call).await;
    assert_eq!(last.status, 201, "{}", last.text);
    assert_eq!(items(&last).len(), 3);
    assert_eq!(last.header("idempotent-replayed"), Some("true"));
    for answer in &answers {
        if answer.status == 201 {
            assert_eq!(answer.text, last.text);
        } else {
            assert_error(answer, 409, "concurrent_request");
        }
    }
    let list = stage.send(stage.get(&format!("/transactions/{id}/refunds"))).await;
    assert_eq!(items(&list).len(), 3);
}

#[tokio::test]
async fn what_cannot_be_taken_in_is_told_to_come_again_and_nothing_is_done() {
    let mut stage = Stage::open();
    let id = stage.transaction_with(&[2_500], |_| ()).await;
    stage.stop();
    for path in [format!("/transactions/{id}/refunds"), format!("/transactions/{id}/refunds/all")] {
        let answer = stage.send(stage.post(&path, "{}")).await;
        assert_error(&answer, 429, "too_many_requests");
        assert_eq!(answer.json()["message"], "Too many requests");
        assert_eq!(answer.json()["details"], json!([]));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let list = stage.send(stage.get(&format!("/transactions/{id}/refunds"))).await;
    assert_eq!(items(&list), Vec::<Value>::new());
}
