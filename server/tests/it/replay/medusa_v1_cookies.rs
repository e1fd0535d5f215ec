//! The cookies of Medusa v1's sessions: whose value is ours, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::recording::members;
use crate::support::{Request, Response};

/// Our cookies, by the recorded ones.
#[derive(Debug, Default)]
pub(super) struct Jar(BTreeMap<String, String>);

impl Jar {
    pub(super) fn translate(&self, request: &mut Request) {
        for (name, value) in &mut request.headers {
            if let Some(ours) = self.0.get(value).filter(|_| name.eq_ignore_ascii_case("cookie")) {
                ours.clone_into(value);
            }
        }
    }

    /// Keeps what a log-in gave, and says what is wrong with it. Where ours gives a cookie and the
    /// recorded server none, or the other way round, decision B8 says so.
    pub(super) fn keep(
        &mut self,
        line: &Value,
        answer: &Response,
        decisions: &mut BTreeSet<&'static str>,
    ) -> Vec<String> {
        let mut headers = members(line, "/response/headers");
        let recorded = headers.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let recorded = recorded.and_then(|(_, value)| value.as_str()).map(Cookie::read);
        let ours = answer.header("Set-Cookie").map(Cookie::read);
        let ends = |cookie: &Cookie<'_>| cookie.value == "connect.sid=";
        match (recorded, ours) {
            (None, None) => Vec::new(),
            (Some(recorded), Some(ours)) => {
                self.0.insert(recorded.value.to_owned(), ours.value.to_owned());
                if recorded.attributes == ours.attributes {
                    return Vec::new();
                }
                decisions.insert("B8");
                ours.plain_http()
            }
            // A stranger gets no session: there is nothing to keep in it.
            (Some(_), None) => {
                decisions.insert("B8");
                if answer.status == 200 { vec!["no cookie".to_owned()] } else { Vec::new() }
            }
            (None, Some(ours)) => {
                decisions.insert("B8");
                if ends(&ours) { Vec::new() } else { ours.plain_http() }
            }
        }
    }
}

/// A `Set-Cookie` header.
struct Cookie<'a> {
    /// With its name.
    value: &'a str,
    /// Without the end of its life.
    attributes: BTreeSet<&'a str>,
}

impl Cookie<'_> {
    fn read(text: &str) -> Cookie<'_> {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        let attributes = parts.filter(|part| !part.starts_with("Expires=")).collect();
        Cookie { value, attributes }
    }

    /// What B8 demands over plain http.
    fn plain_http(&self) -> Vec<String> {
        let wanted = BTreeSet::from(["Path=/", "HttpOnly", "SameSite=Lax"]);
        if self.attributes == wanted {
            Vec::new()
        } else {
            vec![format!("a cookie with {:?}, wanted {wanted:?}", self.attributes)]
        }
    }
}
