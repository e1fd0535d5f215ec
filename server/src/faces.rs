//! The faces: each existing API's dialect in a folder of its own. Here they are only mounted: each
//! below its prefix, and all of them at the root, where path and credential pick one.
//!
//! At the root, only `/admin` and `/auth` belong to two faces. There, what a Medusa v1 client sends
//! (its token header, its form of JWT, its cookie, its log-in path) picks v1, and everything else v2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use tower::ServiceExt;

use crate::access::Access;
use crate::desk::Desk;
use crate::docs;
use crate::http::check_path;
#[cfg(test)]
use crate::route::Route;
use crate::route::Routes;
use crate::session;
use crate::webhooks::Voice;

#[cfg(test)]
mod every_route;
pub(crate) mod gr4vy;
pub(crate) mod loop_payments;
pub(crate) mod medusa_v1;
pub(crate) mod medusa_v2;
pub(crate) mod mpg;
pub(crate) mod native;
#[cfg(test)]
mod testing;

/// How merchants are told of events, by the dialects of their endpoints.
pub(crate) const VOICES: [(&str, Voice); 2] =
    [("gr4vy", gr4vy::webhook::told), ("native", native::endpoints::told)];

/// Whether money requests can be taken now.
#[derive(Clone)]
pub(crate) struct Readiness {
    pub is_stopping: Arc<AtomicBool>,
    /// Commands that wait for the lane.
    pub queued: Arc<dyn Fn() -> usize + Send + Sync>,
    pub queue_max: usize,
}

/// Everything that is served.
pub(crate) fn router(desk: &Desk, readiness: Readiness) -> Router {
    let doors = Doors {
        medusa_v1: medusa_v1::router(desk.clone()),
        medusa_v2: medusa_v2::router(desk.clone()),
        mpg: mpg::router(desk.clone()),
        gr4vy: gr4vy::router(desk.clone()),
        loop_payments: loop_payments::router(desk.clone()),
    };
    let elsewhere = {
        let doors = doors.clone();
        move |request: Request| doors.clone().answer(request)
    };
    let other_method = async || {
        let message = "this path takes another method; the header allow says which";
        error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    };
    open_routes()
        .router(elsewhere, other_method)
        .with_state(readiness)
        .nest("/api", native::router(desk.clone()))
        .nest("/medusa/v1", doors.medusa_v1)
        .nest("/medusa/v2", doors.medusa_v2)
        .nest("/mpg", doors.mpg)
        .nest("/gr4vy", doors.gr4vy)
        .nest("/loop", doors.loop_payments)
}

/// What nobody needs a credential for.
fn open_routes() -> Routes<Readiness> {
    Routes::of("open")
        .get("/health", Access::Public, "health", async || "OK")
        .get("/ready", Access::Public, "ready", ready)
        .get("/openapi/{document}", Access::Public, "read_document", document)
        .get("/docs", Access::Public, "list_documents", page)
        .get("/docs/{face}", Access::Public, "show_document", page)
}

/// Every declared route of every face.
#[cfg(test)]
pub(crate) fn declared() -> Vec<Route> {
    [
        open_routes().declared(),
        medusa_v1::routes().declared(),
        medusa_v2::routes().declared(),
        mpg::routes().declared(),
        gr4vy::routes().declared(),
        loop_payments::routes().declared(),
        native::routes().declared(),
    ]
    .concat()
}

/// The last part of the path names it.
async fn document(uri: Uri) -> Response {
    let name = uri.path().strip_prefix("/openapi/").unwrap_or_default();
    docs::document(name).unwrap_or_else(|| nothing_here(&uri))
}

/// As [`document`]; without a name, the list of all.
async fn page(uri: Uri) -> Response {
    let name = uri.path().strip_prefix("/docs").unwrap_or_default();
    let name = name.strip_prefix('/').unwrap_or(name);
    docs::page(name).unwrap_or_else(|| nothing_here(&uri))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let queued = (readiness.queued)();
    let (status, word) = if readiness.is_stopping.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if queued >= readiness.queue_max {
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    } else {
        (StatusCode::OK, "ready")
    };
    json(status, &serde_json::json!({"status": word, "queued": queued}))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Which dialect a request at the root speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    MedusaV1,
    MedusaV2,
    Mpg,
    Gr4vy,
    LoopPayments,
}

#[derive(Clone)]
struct Doors {
    medusa_v1: Router,
    medusa_v2: Router,
    mpg: Router,
    gr4vy: Router,
    loop_payments: Router,
}

impl Doors {
    async fn answer(self, request: Request) -> Response {
        let face = match dialect(request.uri().path(), request.headers()) {
            Some(Dialect::MedusaV1) => self.medusa_v1,
            Some(Dialect::MedusaV2) => self.medusa_v2,
            Some(Dialect::Mpg) => self.mpg,
            Some(Dialect::Gr4vy) => self.gr4vy,
            Some(Dialect::LoopPayments) => self.loop_payments,
            None => return nothing_here(request.uri()),
        };
        match face.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn nothing_here(uri: &Uri) -> Response {
    if let Err(fault) = check_path(uri) {
        return error(StatusCode::BAD_REQUEST, "bad_request", &fault.to_string());
    }
    let message = "nothing is served at this path; the faces are at /medusa/v1, /medusa/v2, /mpg, \
                   /gr4vy and /loop, and our own API is at /api";
    error(StatusCode::NOT_FOUND, "route_not_found", message)
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let error = serde_json::json!({"code": code, "message": message, "details": []});
    json(status, &serde_json::json!({ "error": error }))
}

/// By the path, in any letter case (Express, on which both Medusas stand, takes any), then by the
/// credential.
fn dialect(path: &str, headers: &HeaderMap) -> Option<Dialect> {
    let path = path.to_ascii_lowercase();
    let is_below = |prefix: &str| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if is_below("/admin") || is_below("/auth") {
        let is_v1 = is_below("/admin/auth") || is_v1_credential(headers);
        return Some(if is_v1 { Dialect::MedusaV1 } else { Dialect::MedusaV2 });
    }
    if is_below("/v1/orders") {
        Some(Dialect::Mpg)
    } else if is_below("/v1") {
        Some(Dialect::LoopPayments)
    } else if is_below("/transactions") || is_below("/refunds") {
        Some(Dialect::Gr4vy)
    } else {
        None
    }
}

/// Medusa v1's token header, a JWT with its claims, or without any `Authorization` the cookie of a
/// session of its own. Nothing is checked here: the face does.
fn is_v1_credential(headers: &HeaderMap) -> bool {
    if headers.contains_key("x-medusa-access-token") {
        return true;
    }
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return session::kind_of(headers) == Some(session::Kind::MedusaV1);
    };
    let token = authorization
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let payload = token.and_then(|(_, token)| token.trim().split('.').nth(1));
    let claims = payload.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    let claims: Option<serde_json::Map<String, serde_json::Value>> =
        claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claims.is_some_and(|claims| claims.contains_key("domain") || claims.contains_key("user_id"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_operation_has_one_name_and_one_place() {
        let declared = declared();
        let names: BTreeSet<_> =
            declared.iter().map(|route| (route.face, route.operation)).collect();
        let places: BTreeSet<_> =
            declared.iter().map(|route| (route.face, route.method, route.path)).collect();
        assert_eq!((names.len(), places.len()), (declared.len(), declared.len()));
        for route in declared {
            assert_ne!(route.access, Access::AnyOf(&[]), "{}", route.operation);
        }
    }

    #[test]
    fn path_and_credential_pick_the_dialect() {
        let jwt =
            |claims: &str| format!("Bearer e30.{}.x", BASE64URL_NOPAD.encode(claims.as_bytes()));
        let v1 = jwt(r#"{"user_id":"usr_1","domain":"admin"}"#);
        let v2 = jwt(r#"{"actor_id":"user_1"}"#);
        for (path, authorization, expected) in [
            ("/admin/payments/pay_1/refund", "", Some(Dialect::MedusaV2)),
            ("/admin/payments/pay_1/refund", v1.as_str(), Some(Dialect::MedusaV1)),
            ("/Admin/payments/pay_1/refund", v1.as_str(), Some(Dialect::MedusaV1)),
            ("/admin/payments/pay_1/refund", v2.as_str(), Some(Dialect::MedusaV2)),
            ("/admin/payments", "Basic c2tf", Some(Dialect::MedusaV2)),
            ("/admin/auth/token", "", Some(Dialect::MedusaV1)),
            ("/auth/user/emailpass", "", Some(Dialect::MedusaV2)),
            ("/v1/orders/1/refund", "", Some(Dialect::Mpg)),
            ("/v1/ordersx", "", Some(Dialect::LoopPayments)),
            ("/v1/admin/refunds", "", Some(Dialect::LoopPayments)),
            ("/transactions/1/refunds", "", Some(Dialect::Gr4vy)),
            ("/refunds/1", "", Some(Dialect::Gr4vy)),
            ("/administrator", "", None),
            ("/", "", None),
        ] {
            let mut headers = HeaderMap::new();
            if !authorization.is_empty() {
                let value = HeaderValue::from_str(authorization).expect("visible characters");
                headers.insert(header::AUTHORIZATION, value);
            }
            assert_eq!(dialect(path, &headers), expected, "{path} {authorization}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-medusa-access-token", HeaderValue::from_static("mv1_"));
        assert_eq!(dialect("/admin/payments", &headers), Some(Dialect::MedusaV1));
    }

    #[test]
    fn a_sessions_cookie_picks_the_face_that_made_it() {
        let basic = [("cookie", "connect.sid=sid_v1_0"), ("authorization", "Basic c2tf")];
        for (sent, expected) in [
            (&[("cookie", "connect.sid=sid_v1_0")][..], Dialect::MedusaV1),
            (&[("cookie", "connect.sid=sid_v2_0")], Dialect::MedusaV2),
            (&[("cookie", "connect.sid=s%3Aa.b")], Dialect::MedusaV2),
            // What a client shows by itself counts before what its browser keeps.
            (&basic, Dialect::MedusaV2),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(dialect("/admin/payments", &headers), Some(expected), "{sent:?}");
        }
    }
}
