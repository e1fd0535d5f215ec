//! Logging in and out: `POST /admin/auth/token` gives a token, `POST /admin/auth` a session that a
//! browser carries as a cookie ([`crate::session`]).

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use requite_core::id::prefixed_text;
use requite_engine::read::PersonView;
use serde::Serialize;
use serde_json::json;

use super::Face;
use super::auth::{self, Asker, USER_PREFIX};
use super::failure::Failure;
use super::wire::{self, LogInBody, Members};
use crate::access::Caller;
use crate::crypto::password::PasswordFault;
use crate::crypto::secret::Secret;
use crate::session::{self, Kind};
use crate::time::millis_text;

/// People with one e-mail address whose password is tried. Merchants do not know of each other, so
/// the same person may be with several.
const NAMESAKES_MAX: usize = 8;

/// `POST /admin/auth/token`
pub(super) async fn for_token(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let person = shown(&face, &mut request).await?;
    let token = auth::token(&face, &person).await?;
    let body = json!({ "access_token": token });
    Ok(wire::json(StatusCode::OK, &body))
}

/// `POST /admin/auth`
pub(super) async fn for_session(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let person = shown(&face, &mut request).await?;
    let cookie = session::open(&face.desk, Kind::MedusaV1, &person, request.headers()).await?;
    let body = Shown { user: User::of(&Asker::Person(person)) };
    Ok(([(SET_COOKIE, cookie)], wire::json(StatusCode::OK, &body)).into_response())
}

/// `GET /admin/auth`: who is it that asks?
pub(super) async fn retrieve(
    State(face): State<Face>,
    request: Request,
) -> Result<Response, Failure> {
    let asker = auth::asker(&face, Caller::of(&request)).await?;
    let user = User::of(&asker);
    Ok(wire::json(StatusCode::OK, &Shown { user }))
}

/// `DELETE /admin/auth`: ends the session, if it is one that asks.
pub(super) async fn end(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    auth::asker(&face, Caller::of(&request)).await?;
    session::close(&face.desk, Kind::MedusaV1, request.headers()).await?;
    Ok(([(SET_COOKIE, session::forgotten())], wire::text("OK")).into_response())
}

/// The person whose e-mail address and password a body shows.
async fn shown(face: &Face, request: &mut Request) -> Result<PersonView, Failure> {
    let bytes = wire::body(request).await?;
    let LogInBody { email, password } = LogInBody::read(&Members::read(&bytes)?)?;
    let password = Secret::new(password);
    verified(face, email, &password).await?.ok_or(Failure::WrongPassword)
}

/// The first person of this e-mail address whose password it is. Nobody costs as much time as a
/// wrong password.
async fn verified(
    face: &Face,
    email: String,
    password: &Secret,
) -> Result<Option<PersonView>, Failure> {
    let people = face.desk.read(move |reads| reads.people(&email)).await?;
    if people.is_empty() {
        is_right(face, password, None).await?;
    }
    for person in people.into_iter().take(NAMESAKES_MAX) {
        if is_right(face, password, Some(person.password_hash.clone())).await? {
            return Ok(Some(person));
        }
    }
    Ok(None)
}

async fn is_right(face: &Face, password: &Secret, hash: Option<String>) -> Result<bool, Failure> {
    let copy = Secret::new(password.expose().to_owned());
    match face.desk.passwords().verify(copy, hash).await {
        Ok(is_right) => Ok(is_right),
        Err(PasswordFault::TooLong) => Ok(false),
        Err(fault @ PasswordFault::StoredHash) => {
            tracing::error!(%fault, "a person cannot log in");
            Ok(false)
        }
        Err(fault @ (PasswordFault::Busy | PasswordFault::Stopping)) => {
            Err(Failure::busy(&fault.to_string()))
        }
    }
}

/// `{"user": ...}`
#[derive(Serialize)]
struct Shown {
    user: User,
}

/// A user as the original shows one. What is not kept here is null; of API tokens only hashes are
/// kept, so none is shown (decision B9).
#[derive(Serialize)]
struct User {
    id: String,
    created_at: String,
    updated_at: String,
    deleted_at: Option<()>,
    /// The original's first role. It enforces none.
    role: &'static str,
    email: String,
    first_name: Option<()>,
    last_name: Option<()>,
    api_token: Option<()>,
    metadata: Option<()>,
}

impl User {
    fn of(asker: &Asker) -> User {
        let (id, [created_at_ms, updated_at_ms], email) = match asker {
            Asker::Person(person) => {
                (person.id.bits(), [person.created_at_ms, person.updated_at_ms], &*person.email)
            }
            // An API token is a merchant's here, and nobody's in particular.
            Asker::Key(key) => (key.id.bits(), [key.created_at_ms; 2], ""),
        };
        User {
            id: prefixed_text(USER_PREFIX, id),
            created_at: millis_text(created_at_ms),
            updated_at: millis_text(updated_at_ms),
            deleted_at: None,
            role: "member",
            email: email.to_owned(),
            first_name: None,
            last_name: None,
            api_token: None,
            metadata: None,
        }
    }
}
