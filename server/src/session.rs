//! Log-ins that a browser carries as a cookie, for both Medusas.
//!
//! A session is 256 random bits in the cookie `connect.sid`, and their SHA-256 in the store beside whose
//! it is and until when. The value begins with a mark that says which of the two made it
//! ([`Kind::mark`]): at the root it picks the face, and a face takes none but its own.
//!
//! Invariants:
//! - A session counts for [`LIFE_MS`] from the log-in by the desk's clock, for its face alone, and while
//!   its person exists.
//! - Its secret is in the cookie and nowhere else: not in the store, not in a log.
//!
//! A browser sends cookies by itself, whoever made it ask. What keeps a page of strangers from using
//! that, in the order in which it bites:
//! - `SameSite=Lax`: the browser sends no cookie with other sites' POSTs. Medusa v1 over https cannot
//!   have it (an admin on another site is its normal case) and says `SameSite=None`.
//! - A request that may change something and names an origin (browsers always do so across origins)
//!   must come from one that the setting `cors_origins` lists, or from this host: else the cookie is
//!   as good as absent ([`is_foreign`]). This alone would do, also for routes that need no body.
//! - Bodies count as JSON only when they say so, which a form cannot, and a script of another origin
//!   only with the permission of a preflight. Answers are readable to listed origins alone.
//!
//! Tokens and keys need none of this: no browser sends them by itself.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use requite_engine::read::{PersonView, ReadFault, SessionView};

use crate::crypto::token::{TokenKind, lookup_hash};
use crate::desk::Desk;

/// How long a session lasts: ten hours, as in both originals.
pub(crate) const LIFE_MS: i64 = 10 * 60 * 60 * 1000;

const COOKIE: &str = "connect.sid";
/// Cookies of our name that are looked at in one request; a browser sends one.
const COOKIES_MAX: usize = 4;

/// Whose sessions these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MedusaV1,
    MedusaV2,
}

impl Kind {
    fn face(self) -> &'static str {
        match self {
            Kind::MedusaV1 => "medusa-v1",
            Kind::MedusaV2 => "medusa-v2",
        }
    }

    fn token(self) -> TokenKind {
        match self {
            Kind::MedusaV1 => TokenKind::MedusaV1Session,
            Kind::MedusaV2 => TokenKind::MedusaV2Session,
        }
    }

    /// What the cookie's value begins with.
    fn mark(self) -> &'static str {
        self.token().prefix()
    }

    /// Over plain http browsers refuse `SameSite=None`, and a shop's own admin is on the same site.
    fn same_site(self, is_https: bool) -> &'static str {
        match self {
            Kind::MedusaV1 if is_https => "None",
            Kind::MedusaV1 | Kind::MedusaV2 => "Lax",
        }
    }
}

/// Why no session could be opened or closed. The cause is in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionFault;

/// Opens a session for a person who has just shown who they are: the `Set-Cookie` header to answer
/// with. `asked` are the request's headers.
pub(crate) async fn open(
    desk: &Desk,
    kind: Kind,
    person: &PersonView,
    asked: &HeaderMap,
) -> Result<HeaderValue, SessionFault> {
    let secret = desk.mint(kind.token());
    let now_ms = desk.now_ms();
    let session = SessionView {
        lookup: lookup_hash(secret.expose()),
        face: kind.face().to_owned(),
        merchant: person.merchant,
        person: person.id,
        created_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(LIFE_MS),
    };
    let expires = crate::time::http_text(session.expires_at_ms);
    let opened = desk.write(move |registry| registry.open_session(&session)).await;
    done(opened)?;
    let is_https = is_https(asked);
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE}={}; Path=/; Expires={expires}; HttpOnly{secure}; SameSite={}",
        secret.expose(),
        kind.same_site(is_https)
    );
    let mut cookie = HeaderValue::from_str(&text).expect("digits, letters and a date");
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// The person whose living session a request carries, if its cookie counts: see [`is_foreign`].
pub(crate) async fn person(
    desk: &Desk,
    kind: Kind,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<PersonView>, ReadFault> {
    if is_foreign(&desk.settings().cors_origins, method, headers) {
        return Ok(None);
    }
    for value in values(headers, kind) {
        let lookup = lookup_hash(value);
        let Some(session) = desk.admit(move |reads| reads.session(&lookup)).await? else {
            continue;
        };
        let is_living = session.face == kind.face() && desk.now_ms() < session.expires_at_ms;
        if !is_living {
            continue;
        }
        let person =
            desk.admit(move |reads| reads.person(session.merchant, session.person)).await?;
        if person.is_some() {
            return Ok(person);
        }
    }
    Ok(None)
}

/// Ends whatever sessions a request carries. None is no fault.
pub(crate) async fn close(
    desk: &Desk,
    kind: Kind,
    headers: &HeaderMap,
) -> Result<(), SessionFault> {
    for value in values(headers, kind) {
        let lookup = lookup_hash(value);
        done(desk.write(move |registry| registry.close_session(&lookup)).await)?;
    }
    Ok(())
}

/// The `Set-Cookie` header that makes a browser forget its cookie.
pub(crate) fn forgotten() -> HeaderValue {
    HeaderValue::from_static("connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
}

/// Whose session a request carries, by its mark. Nothing is checked here.
pub(crate) fn kind_of(headers: &HeaderMap) -> Option<Kind> {
    let has = |kind: &Kind| values(headers, *kind).next().is_some();
    [Kind::MedusaV1, Kind::MedusaV2].into_iter().find(has)
}

fn done(written: Option<Result<(), impl std::fmt::Display>>) -> Result<(), SessionFault> {
    match written {
        Some(Ok(())) => Ok(()),
        Some(Err(fault)) => {
            tracing::error!(%fault, "a session could not be written");
            Err(SessionFault)
        }
        None => Err(SessionFault),
    }
}

/// Values of our cookie that a face of `kind` made.
fn values(headers: &HeaderMap, kind: Kind) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
        .take(COOKIES_MAX)
        .filter(move |value| value.starts_with(kind.mark()))
}

/// Does a request that may change something come from a page of another origin, which is not listed?
/// Programs that are no browsers name no origin.
fn is_foreign(listed: &[String], method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        // A browser so old that it names no origin may still say where the page is.
        return headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    };
    let is_listed = listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
    !is_listed && !is_own(origin, headers)
}

/// Is `origin` the very host that was asked?
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.zip(asked).is_some_and(|((_, host), asked)| host.eq_ignore_ascii_case(asked))
}

/// Did the client come by https? The proxy in front says so; whoever says so falsely gets a cookie
/// that their own browser will not send back.
fn is_https(headers: &HeaderMap) -> bool {
    let named = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let first = named.and_then(|value| value.split(',').next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests;
