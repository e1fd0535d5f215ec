//! Routes, declared once: method, path, what they demand of whoever asks, and a name. From one
//! declaration come the mounted route, the access that is enforced, the log line, and the lists that
//! documents and tests are held against.
//!
//! To add a route, add a line to its face's `routes()`. It does not compile without [`Access`], and
//! the face's handler passes [`Caller::of`] the request to its `auth::actor`, which reads the access
//! from there. What reaches a handler without a declaration lets nobody through.

use std::pin::Pin;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use tower::ServiceExt;

use crate::access::Access;

/// One declared route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The face's name, as on its keys.
    pub face: &'static str,
    pub method: &'static str,
    /// Below the face's prefix, with `{names}` for what varies.
    pub path: &'static str,
    pub access: Access,
    /// Unique within the face.
    pub operation: &'static str,
}

/// A handler whose route's declaration travels with the request, for access, and with the answer, for the log.
#[derive(Clone)]
struct Declared<H> {
    handler: H,
    route: Route,
}

impl<H: Handler<T, S>, T, S> Handler<T, S> for Declared<H> {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, mut request: Request, state: S) -> Self::Future {
        request.extensions_mut().insert(self.route);
        let answer = self.handler.call(request, state);
        Box::pin(async move {
            let mut response = answer.await;
            response.extensions_mut().insert(self.route);
            response
        })
    }
}

/// The routes of one face, mounted as they are declared.
#[derive(Clone)]
pub(crate) struct Routes<S> {
    face: &'static str,
    declared: Vec<Route>,
    router: Router<S>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub(crate) fn of(face: &'static str) -> Routes<S> {
        Routes { face, declared: Vec::new(), router: Router::new() }
    }

    pub(crate) fn get<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        operation: &'static str,
        handler: H,
    ) -> Routes<S> {
        self.on("GET", MethodFilter::GET, (path, access, operation), handler)
    }

    pub(crate) fn post<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        operation: &'static str,
        handler: H,
    ) -> Routes<S> {
        self.on("POST", MethodFilter::POST, (path, access, operation), handler)
    }

    pub(crate) fn put<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        operation: &'static str,
        handler: H,
    ) -> Routes<S> {
        self.on("PUT", MethodFilter::PUT, (path, access, operation), handler)
    }

    pub(crate) fn delete<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        operation: &'static str,
        handler: H,
    ) -> Routes<S> {
        self.on("DELETE", MethodFilter::DELETE, (path, access, operation), handler)
    }

    fn on<H: Handler<T, S>, T: 'static>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        (path, access, operation): (&'static str, Access, &'static str),
        handler: H,
    ) -> Routes<S> {
        let route = Route { face: self.face, method, path, access, operation };
        self.router = self.router.route(path, on(filter, Declared { handler, route }));
        self.declared.push(route);
        self
    }

    /// All of them, in the order of their declaration.
    #[cfg(test)]
    pub(crate) fn declared(&self) -> Vec<Route> {
        self.declared.clone()
    }

    /// The routes, with `missing` for every other path and `other_method` for every other method.
    pub(crate) fn router<M, T, O, U>(self, missing: M, other_method: O) -> Router<S>
    where
        M: Handler<T, S>,
        T: 'static,
        O: Handler<U, S>,
        U: 'static,
    {
        self.router.fallback(missing).method_not_allowed_fallback(other_method)
    }

    /// The routes as Express has them: paths match in any letter case and with a slash at the end,
    /// an id is never empty, and whatever is no route is `missing`.
    pub(crate) fn express<M, T>(self, missing: M, state: S) -> Router
    where
        M: Handler<T, S> + Clone,
        T: 'static,
    {
        let declared = self.declared.clone();
        let exact = self.clone().router(missing.clone(), missing.clone());
        let nowhere = Router::new().fallback(missing.clone()).with_state(state.clone());
        let exact = exact.with_state(state);
        Router::new().fallback(async move |mut request: Request| {
            let door = match respelt(&declared, request.uri()) {
                Some(uri) => {
                    *request.uri_mut() = uri;
                    exact
                }
                None => nowhere,
            };
            door.oneshot(request).await.unwrap_or_else(|never| match never {})
        })
    }
}

/// The target in the spelling of the route that it matches, if it matches any. What varies stays as
/// it is; where two routes match, the one with fewer such parts is meant.
fn respelt(declared: &[Route], uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let matching = declared.iter().filter_map(|route| spelling(route.path, path));
    let path = matching.min_by_key(|(varying, _)| *varying)?.1;
    match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

/// How many parts of `route` vary, and `path` as it spells it.
fn spelling(route: &str, path: &str) -> Option<(usize, String)> {
    if route.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut varying = 0_usize;
    let words: Option<Vec<&str>> = route
        .split('/')
        .zip(path.split('/'))
        .map(|(word, written)| {
            if word.starts_with('{') {
                varying = varying.saturating_add(1);
                return (!written.is_empty()).then_some(written);
            }
            word.eq_ignore_ascii_case(written).then_some(word)
        })
        .collect();
    words.map(|words| (varying, words.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_respelt_as_the_route_it_matches_and_ids_stay() {
        let routes = Routes::<()>::of("test")
            .get("/admin/payments/{id}", Access::Public, "one", async || "")
            .post("/admin/payments/{id}/refund", Access::Public, "two", async || "")
            .get("/admin/payments/providers", Access::Public, "three", async || "");
        let declared = routes.declared();
        for (sent, spelt) in [
            ("/admin/payments/pay_1", Some("/admin/payments/pay_1")),
            ("/ADMIN/Payments/PAY_1/?a=B", Some("/admin/payments/PAY_1?a=B")),
            ("/admin/payments/x%2Fy/Refund", Some("/admin/payments/x%2Fy/refund")),
            ("/admin/payments/Providers/", Some("/admin/payments/providers")),
            ("/admin/payments//refund", None),
            ("/admin/payments/", None),
            ("/admin/payments/pay_1//", None),
            ("/admin/payments/pay_1/void", None),
            ("//admin/payments/pay_1", None),
            ("/admin//payments/pay_1", None),
            ("/", None),
        ] {
            let uri = sent.parse().expect("a target");
            let found = respelt(&declared, &uri).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), spelt, "{sent}");
        }
    }
}
