//! Who is let through: those with a scope that the route declares, and nobody else.

use std::collections::BTreeSet;

use super::*;
use crate::access::Access;
use crate::faces::testing::SHOP;

const FACES: [&str; 6] = ["medusa-v1", "medusa-v2", "mpg", "gr4vy", "loop", "native"];

/// How a face says that it does not know who asks.
fn stranger_text(face: &str) -> &'static str {
    match face {
        "medusa-v1" => "Unauthorized",
        "medusa-v2" => r#"{"message":"Unauthorized"}"#,
        "mpg" => r#"{"message":"Missing authentication information"}"#,
        "gr4vy" => {
            r#"{"type":"error","code":"unauthorized","status":401,"message":"No valid API authentication found","details":[]}"#
        }
        "loop" => r#"{"error":"unauthenticated","message":"a valid access token is required"}"#,
        _ => {
            r#"{"error":{"code":"unauthorized","message":"no valid key; send one of this API as Authorization: Bearer rq_... (requite key create --face native)","details":[]}}"#
        }
    }
}

fn routes_of(face: &'static str) -> impl Iterator<Item = Route> {
    declared().into_iter().filter(move |route| route.face == face)
}

/// A path of the route that names nothing.
fn path(route: &Route) -> String {
    let varying = route.path.matches('{').count();
    filled(route, &vec!["none-such".to_owned(); varying])
}

/// Every scope that a face has, the one for all, and one that no face has.
fn scopes_of(face: &'static str) -> BTreeSet<&'static str> {
    let listed = routes_of(face).flat_map(|route| match route.access {
        Access::AnyOf(scopes) => scopes,
        Access::Public | Access::Known => &[],
    });
    listed.copied().chain(["admin", "payments.rea", "everything"]).collect()
}

/// `None` where a credential makes no difference, or any will do.
fn may_pass(route: &Route, scope: &str) -> Option<bool> {
    match route.access {
        Access::Public | Access::Known => None,
        Access::AnyOf(scopes) => {
            // A key's own `admin` stands for all; in the tokens of Gr4vy it is no word.
            let is_all = scope == "admin" && route.face != "gr4vy";
            Some(is_all || scopes.contains(&scope))
        }
    }
}

#[tokio::test]
async fn a_key_with_one_scope_passes_where_that_scope_is_declared_and_nowhere_else() {
    let house = House::open();
    let mut passed = 0;
    for face in FACES {
        for scope in scopes_of(face) {
            let credential = house.credential(SHOP, face, Some(&[scope]));
            for route in routes_of(face) {
                let path = path(&route);
                let answer = house.ask(route.method, &path, Some(&credential), "{}").await;
                let is_let_through = !matches!(answer.status, 401 | 403);
                let at = format!("{scope}: {} {path}: {}", route.method, answer.told());
                match may_pass(&route, scope) {
                    Some(may) => {
                        assert_eq!(is_let_through, may, "{at}");
                        // A good key without the scope is told so: it is no stranger.
                        assert_ne!(answer.status, 401, "{at}");
                        passed += usize::from(may);
                    }
                    None => assert_ne!(answer.status, 403, "{at}"),
                }
            }
        }
    }
    assert!(passed > declared().len(), "only {passed} were let through");
}

#[tokio::test]
async fn without_a_good_credential_every_route_but_the_public_ones_says_so_in_its_dialect() {
    let house = House::open();
    for face in FACES {
        let elsewhere = if face == "native" { "loop" } else { "native" };
        let (_, foreign) = house.credential(SHOP, elsewhere, None);
        let foreign = foreign.split(' ').next_back().expect("a token");
        let wrong = [None, Some(shown(face, "wrong")), Some(shown(face, foreign))];
        for route in routes_of(face) {
            let path = path(&route);
            for credential in &wrong {
                let answer = house.ask(route.method, &path, credential.as_ref(), "{}").await;
                let at = format!("{credential:?}: {} {path}: {}", route.method, answer.told());
                if route.access == Access::Public {
                    assert_ne!(answer.text, stranger_text(face), "{at}");
                } else {
                    assert_eq!(answer.told(), format!("401 {}", stranger_text(face)), "{at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn open_routes_ask_for_nothing() {
    let house = House::open();
    for route in routes_of("open") {
        assert_eq!(route.access, Access::Public, "{}", route.operation);
        let name = if route.path.starts_with("/openapi") { "mpg.json" } else { "mpg" };
        let varying = route.path.matches('{').count();
        let path = filled(&route, &vec![name.to_owned(); varying]);
        let answer = house.ask(route.method, &path, None, "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

/// Express, on which both Medusas stand, takes a path in any letter case and with a slash behind it.
#[tokio::test]
async fn paths_of_both_medusas_match_in_any_letter_case_and_with_a_slash_at_the_end() {
    let house = House::open();
    for face in ["medusa-v1", "medusa-v2"] {
        let credential = house.credential(SHOP, face, None);
        for route in routes_of(face) {
            let path = path(&route);
            let words = path.split('/').map(|word| match word {
                "none-such" | "medusa" | "v1" | "v2" => word.to_owned(),
                word => word.to_uppercase(),
            });
            let other = format!("{}/", words.collect::<Vec<_>>().join("/"));
            let one = house.ask(route.method, &path, Some(&credential), "{}").await;
            let two = house.ask(route.method, &other, Some(&credential), "{}").await;
            assert_eq!(one.told(), two.told(), "{} {other}", route.method);
            assert!(!one.text.contains("Cannot "), "{} {path}: {}", route.method, one.text);
        }
    }
}
