//! The list of transactions.

use requite_core::currency::Currency;
use requite_engine::command::Registration;

use super::*;

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let items = body["items"].as_array().expect("a list").iter();
    items.map(|item| item["id"].as_str().expect("a text").to_owned()).collect()
}

async fn listed(stage: &Stage, query: &str) -> Answer {
    stage.send(stage.get(&format!("/transactions{query}"))).await
}

fn cursor(answer: &Answer, name: &str) -> Option<String> {
    answer.json()[name].as_str().map(str::to_owned)
}

/// `count` transactions, each a second younger than the one before. Newest first.
async fn transactions(stage: &Stage, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let ms = i64::try_from(number).expect("few") * 1000;
        let id = stage.transaction_with(&[], |new| new.created_at_ms += ms).await;
        ids.insert(0, id);
    }
    ids
}

#[tokio::test]
async fn pages_lead_through_all_transactions_and_back() {
    let stage = Stage::open();
    let all = transactions(&stage, 7).await;
    assert_eq!(ids(&listed(&stage, "").await), all);

    let mut pages = vec![listed(&stage, "?limit=3").await];
    while let Some(next) = pages.last().and_then(|page| cursor(page, "next_cursor")) {
        pages.push(listed(&stage, &format!("?limit=3&cursor={next}")).await);
    }
    let seen: Vec<Vec<String>> = pages.iter().map(ids).collect();
    assert_eq!(seen, [&all[..3], &all[3..6], &all[6..]]);
    assert_eq!(pages[0].json()["limit"], 3);
    assert_eq!(cursor(&pages[0], "previous_cursor"), None);

    let back = cursor(&pages[2], "previous_cursor").expect("there is a page before");
    let middle = listed(&stage, &format!("?limit=3&cursor={back}")).await;
    assert_eq!(ids(&middle), all[3..6]);
    let next = cursor(&middle, "next_cursor").expect("there is a page behind");
    assert_eq!(ids(&listed(&stage, &format!("?cursor={next}")).await), all[6..]);
    let back = cursor(&middle, "previous_cursor").expect("there is a page before");
    let first = listed(&stage, &format!("?limit=3&cursor={back}")).await;
    assert_eq!(ids(&first), all[..3]);
    assert_eq!(cursor(&first, "previous_cursor"), None);
}

#[tokio::test]
async fn a_transaction_that_changes_comes_to_the_front_and_is_not_met_twice() {
    let stage = Stage::open();
    let all = transactions(&stage, 4).await;
    let first = listed(&stage, "?limit=2").await;
    let next = cursor(&first, "next_cursor").expect("there are more");
    stage.pass(std::time::Duration::from_secs(60));
    stage.refund(&all[1], &json!({"amount": 1})).await;

    let rest = listed(&stage, &format!("?cursor={next}")).await;

    assert_eq!(ids(&rest), all[2..]);
    let again = listed(&stage, "").await;
    let expected = [&all[1], &all[0], &all[2], &all[3]];
    assert_eq!(ids(&again).iter().collect::<Vec<_>>(), expected);
    let newer = cursor(&rest, "previous_cursor").expect("there are newer ones");
    let newer = listed(&stage, &format!("?cursor={newer}")).await;
    assert_eq!(ids(&newer).iter().collect::<Vec<_>>(), expected[..2]);
}

#[tokio::test]
async fn an_item_is_the_transaction_without_its_circumstances() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500], |_| ()).await;
    let page = listed(&stage, "").await.json();
    let item = page["items"][0].as_object().expect("an object");
    let whole = stage.send(stage.get(&format!("/transactions/{id}"))).await.json();
    for (name, value) in item {
        assert_eq!(value, &whole[name], "{name}");
    }
    for name in ["gift_card_redemptions", "disputed", "payment_method", "updated_at"] {
        assert!(item.contains_key(name), "{name}");
    }
    for name in ["payment_source", "metadata", "captured_at", "multi_tender"] {
        assert!(!item.contains_key(name), "{name}");
    }
}

/// A transaction with everything that a filter can be about, and how to change it into another.
async fn pair(stage: &Stage) -> (String, String) {
    let rich = stage
        .transaction_with(&[2_500], |new: &mut Registration| {
            new.connector = "psp".to_owned();
            new.connector_payment = Some("pi_1".to_owned());
            new.customer = Some("cus_1".to_owned());
            new.external_identifier = Some("Order 1001".to_owned());
            new.profile = r#"{"source":{"type":"card","scheme":"mada","last_digits":"4444",
                "first_digits":"555555","country_alpha2":"SA"},"metadata":{"a":"x","b":"y"}}"#
                .to_owned();
        })
        .await;
    let plain = stage
        .transaction_with(&[], |new| {
            new.captures.clear();
            new.currency = Currency::parse("EUR").expect("listed");
            new.created_at_ms += 86_400_000;
            new.profile = "{}".to_owned();
        })
        .await;
    stage.refund(&rich, &json!({"amount": 1})).await;
    (rich, plain)
}

#[tokio::test]
async fn each_filter_lets_through_what_it_names() {
    let stage = Stage::open();
    let (rich, plain) = pair(&stage).await;
    let read = stage.send(stage.get(&format!("/transactions/{rich}"))).await.json();
    let base62 = read["reconciliation_id"].as_str().expect("a text");
    let both = || vec![plain.clone(), rich.clone()];
    let day = "2024-09-16T00:00:00%2B00:00";
    for (query, expected) in [
        (format!("id={rich}"), vec![rich.clone()]),
        (format!("id={plain}&reconciliation_id={base62}"), vec![]),
        (format!("reconciliation_id={base62}"), vec![rich.clone()]),
        ("external_identifier=Order%201001".to_owned(), vec![rich.clone()]),
        ("external_identifier=order".to_owned(), vec![]),
        ("payment_service_transaction_id=pi_1".to_owned(), vec![rich.clone()]),
        (format!("created_at_gte={day}"), vec![plain.clone()]),
        (format!("created_at_lte={day}"), vec![rich.clone()]),
        ("created_at_lte=2024-09-15T12:27:45.123Z".to_owned(), vec![rich.clone()]),
        ("created_at_lte=2024-09-15T12:27:45.122999Z".to_owned(), vec![]),
        ("created_at_gte=2024-09-16T12:27:45.123Z".to_owned(), vec![plain.clone()]),
        ("created_at_gte=2024-09-16T12:27:45.123001Z".to_owned(), vec![]),
        (format!("updated_at_gte={day}"), vec![plain.clone()]),
        (format!("updated_at_lte={day}"), vec![rich.clone()]),
        ("status=capture_succeeded".to_owned(), vec![rich.clone()]),
        ("status=authorization_succeeded".to_owned(), vec![plain.clone()]),
        ("status=authorization_succeeded&status=capture_succeeded".to_owned(), both()),
        ("status=processing".to_owned(), vec![]),
        ("status=authorization_declined".to_owned(), vec![]),
        ("currency=USD".to_owned(), vec![rich.clone()]),
        ("currency=USD&currency=EUR".to_owned(), both()),
        ("amount_eq=12500".to_owned(), vec![rich.clone()]),
        ("amount_lte=10000".to_owned(), vec![plain.clone()]),
        ("amount_gte=10001".to_owned(), vec![rich.clone()]),
        ("amount_gte=10000&amount_lte=12500".to_owned(), both()),
        ("amount_eq=10000&amount_gte=10001".to_owned(), vec![]),
        ("method=card".to_owned(), vec![rich.clone()]),
        ("method=paypal&method=card".to_owned(), vec![rich.clone()]),
        ("payment_method_scheme=mada".to_owned(), vec![rich.clone()]),
        ("payment_method_label=4444".to_owned(), vec![rich.clone()]),
        ("payment_source=ecommerce".to_owned(), both()),
        ("payment_source=moto".to_owned(), vec![]),
        ("metadata=%7B%22a%22:%22x%22%7D".to_owned(), vec![rich.clone()]),
        ("metadata=%7B%22a%22:%22x%22,%22b%22:%22z%22%7D".to_owned(), vec![]),
        ("has_refunds=true".to_owned(), vec![rich.clone()]),
        ("has_refunds=false".to_owned(), vec![plain.clone()]),
        ("has_gift_card_redemptions=true".to_owned(), vec![rich.clone()]),
        ("has_gift_card_redemptions=false".to_owned(), vec![plain.clone()]),
        ("gift_card_last4=9999".to_owned(), vec![]),
        ("gift_card_id=5bd8bbbc-0000-4000-8000-000000000000".to_owned(), vec![]),
        ("search=ORDER%201001".to_owned(), vec![rich.clone()]),
        (format!("search={base62}"), vec![rich.clone()]),
        ("search=zebra".to_owned(), vec![]),
        ("buyer_external_identifier=cus_1".to_owned(), vec![rich.clone()]),
        ("buyer_search=cus_1&buyer_search=cus_2".to_owned(), vec![]),
        ("buyer_email_address=a@b.example".to_owned(), vec![]),
        ("disputed=false".to_owned(), both()),
        ("has_settlements=true".to_owned(), vec![]),
        ("pending_review=true".to_owned(), vec![]),
        ("checkout_session_id=x".to_owned(), vec![]),
        ("error_code=service_error".to_owned(), vec![]),
        ("timeout_in_seconds=1&application_name=core-api".to_owned(), both()),
    ] {
        let answer = listed(&stage, &format!("?{query}")).await;
        assert_eq!(ids(&answer), expected, "{query}");
        assert_eq!(answer.json()["next_cursor"], Value::Null, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_filtered_by_is_a_bad_request_that_names_it() {
    let stage = Stage::open();
    let foreign = {
        let other = Call::new(Method::GET, "/transactions?limit=1");
        stage.transaction().await;
        stage.transaction().await;
        let own = listed(&stage, "?limit=1").await;
        let own = cursor(&own, "next_cursor").expect("there are two");
        let token = token(&stage.other_key, &json!({"scopes": ["*.read"]}));
        let path = format!("/transactions?cursor={own}");
        assert_eq!(ids(&stage.send(other.bearer(&token)).await), Vec::<String>::new());
        stage.send(Call::new(Method::GET, &path).bearer(&token)).await
    };
    assert_error(&foreign, 400, "bad_request");
    for (query, names) in [
        ("limit=0", vec!["limit"]),
        ("limit=101", vec!["limit"]),
        ("limit=x", vec!["limit"]),
        ("cursor=x", vec!["cursor"]),
        ("cursor=", vec!["cursor"]),
        ("id=not-a-uuid", vec!["id"]),
        ("reconciliation_id=-", vec!["reconciliation_id"]),
        ("status=refunded", vec!["status"]),
        ("currency=EURO", vec!["currency"]),
        ("created_at_gte=2024-09-15", vec!["created_at_gte"]),
        ("updated_at_lte=yesterday", vec!["updated_at_lte"]),
        ("amount_eq=1.5", vec!["amount_eq"]),
        ("amount_gte=-1", vec!["amount_gte"]),
        ("has_refunds=perhaps", vec!["has_refunds"]),
        ("metadata=x", vec!["metadata"]),
        ("metadata=%7B%22a%22:1%7D", vec!["metadata"]),
        ("search=a&search=b", vec!["search"]),
        ("limit=0&status=x&amount_eq=y", vec!["limit", "status", "amount_eq"]),
    ] {
        let answer = listed(&stage, &format!("?{query}")).await;
        assert_error(&answer, 400, "bad_request");
        assert_eq!(pointers(&answer), names, "{query}");
        assert_eq!(answer.json()["details"][0]["location"], "query", "{query}");
    }
}

#[tokio::test]
async fn a_long_search_goes_on_from_an_empty_page() {
    let stage = Stage::open();
    let wanted = stage
        .transaction_with(&[], |new| new.profile = r#"{"metadata":{"a":"x"}}"#.to_owned())
        .await;
    transactions(&stage, 1_050).await;
    let query = "?metadata=%7B%22a%22:%22x%22%7D";
    let first = listed(&stage, query).await;
    assert_eq!(ids(&first), Vec::<String>::new());
    let next = cursor(&first, "next_cursor").expect("it did not look at all");
    let rest = listed(&stage, &format!("{query}&cursor={next}")).await;
    assert_eq!(ids(&rest), [wanted]);
    assert_eq!(cursor(&rest, "next_cursor"), None);
}

#[tokio::test]
async fn a_key_of_several_merchants_sees_the_account_that_is_named() {
    let stage = Stage::open();
    let key = stage.shared_key();
    let id = stage.transaction().await;
    let token = token(&key, &json!({"scopes": ["*.read"]}));
    for (account, status, expected) in [
        (Some("acme"), 200, vec![id]),
        (Some("other"), 200, vec![]),
        (Some("default"), 404, vec![]),
        (Some("nobody"), 404, vec![]),
        (None, 400, vec![]),
    ] {
        let mut call = Call::new(Method::GET, "/transactions").bearer(&token);
        if let Some(account) = account {
            call = call.header("x-gr4vy-merchant-account-id", account);
        }
        let answer = stage.send(call).await;
        assert_eq!(answer.status, status, "{account:?}: {}", answer.text);
        match status {
            200 => assert_eq!(ids(&answer), expected),
            404 => assert_error(&answer, 404, "not_found"),
            _ => {
                assert_error(&answer, 400, "bad_request");
                assert_eq!(pointers(&answer), ["x-gr4vy-merchant-account-id"]);
                assert_eq!(answer.json()["details"][0]["location"], "header");
            }
        }
    }
}
