//! Who asks too often is told so in the face's own words, and nobody else is kept waiting.

use super::*;
use crate::access::Access;
use crate::desk::Settings;
use crate::faces::testing::SHOP;

const TOO_MANY: [(&str, &str); 6] = [
    (
        "medusa-v1",
        r#"{"type":"too_many_requests","message":"Too many requests. Nothing was done; try again shortly."}"#,
    ),
    (
        "medusa-v2",
        r#"{"type":"too_many_requests","message":"Too many requests. Nothing was done; try again shortly."}"#,
    ),
    (
        "mpg",
        r#"{"message":"Too many requests. Nothing was done, send the request again shortly."}"#,
    ),
    (
        "gr4vy",
        r#"{"type":"error","code":"too_many_requests","status":429,"message":"Too many requests","details":[]}"#,
    ),
    (
        "loop",
        r#"{"error":"rate_limited","message":"too many requests; nothing was done, send the request again shortly"}"#,
    ),
    (
        "native",
        r#"{"error":{"code":"too_many_requests","message":"too many requests; nothing was done, try again shortly","details":[]}}"#,
    ),
];

#[tokio::test]
async fn a_credential_that_asks_too_often_waits_at_every_route_and_others_do_not() {
    let settings = Settings { requests_per_second_max: 1, ..testing::settings() };
    let house = House(Shop::open(router, settings, 0x0191_f5a7_44d3_7430_8739_0000_0000_0000));
    let is_guarded = |route: &Route| matches!(route.access, Access::AnyOf(_));
    for route in declared().into_iter().filter(is_guarded) {
        let varying = route.path.matches('{').count();
        let path = filled(&route, &vec!["none-such".to_owned(); varying]);
        let credential = house.credential(SHOP, route.face, None);
        let first = house.ask(route.method, &path, Some(&credential), "{}").await;
        assert_ne!(first.status, 429, "{path}: {}", first.told());
        let second = house.ask(route.method, &path, Some(&credential), "{}").await;
        let words = TOO_MANY.iter().find(|(face, _)| *face == route.face);
        let (_, text) = words.expect("every face has words for it");
        assert_eq!(second.told(), format!("429 {text}"), "{} {path}", route.method);
        assert_eq!(second.header("retry-after"), Some("1"), "{path}");
        let other = house.credential(SHOP, route.face, None);
        let other = house.ask(route.method, &path, Some(&other), "{}").await;
        assert_eq!(other.status, first.status, "{path}: {}", other.told());
    }
}
