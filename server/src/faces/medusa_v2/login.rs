//! Logging in: e-mail and password for a token, and a token for a fresh one or for a session
//! ([`crate::session`]).

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use requite_engine::read::PersonView;

use super::failure::{Failure, json_response};
use super::spelling::text;
use super::wire::{BODY_MAX, Body};
use super::{Face, auth};
use crate::access::Caller;
use crate::crypto::password::PasswordFault;
use crate::crypto::secret::Secret;
use crate::json::Json;
use crate::session::{self, Kind, SessionFault};

/// The one way to log in.
const PROVIDER: &str = "emailpass";
/// Merchants at which one e-mail address may be known: each costs a password check.
const PEOPLE_MAX: usize = 8;

const WRONG: &str = "Invalid email or password";

/// `POST /auth/user/{provider}`
pub(super) async fn log_in(
    State(face): State<Face>,
    Path(provider): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    if provider != PROVIDER {
        return Err(Failure::AuthProvider(provider));
    }
    let person = known(&face, json).await?;
    granted(&face, &person).await
}

/// `POST /auth/token/refresh`
pub(super) async fn refresh(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    Body::take(&mut request, BODY_MAX).await?.json()?;
    let log_in = auth::bearer(&face, Caller::of(&request)).await?;
    granted(&face, log_in.person()).await
}

/// `POST /auth/session`: a cookie for whoever shows a log-in token. Answers with the token's claims.
pub(super) async fn open_session(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    Body::take(&mut request, BODY_MAX).await?.json()?;
    let log_in = auth::bearer(&face, Caller::of(&request)).await?;
    let opened =
        session::open(&face.desk, Kind::MedusaV2, log_in.person(), request.headers()).await;
    let cookie = opened.map_err(|SessionFault| Failure::Write(None))?;
    let body = format!("{{\"user\":{}}}", log_in.claims());
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// `DELETE /auth/session`: ends the session that asks, if one does.
pub(super) async fn close_session(
    State(face): State<Face>,
    request: Request,
) -> Result<Response, Failure> {
    let closed = session::close(&face.desk, Kind::MedusaV2, request.headers()).await;
    closed.map_err(|SessionFault| Failure::Write(None))?;
    let mut response = json_response(StatusCode::OK, "{\"success\":true}".to_owned());
    response.headers_mut().insert(header::SET_COOKIE, session::forgotten());
    Ok(response)
}

async fn granted(face: &Face, person: &PersonView) -> Result<Response, Failure> {
    let token = auth::token(face, person).await?;
    let body = format!("{{\"token\":{}}}", text(&token));
    Ok(json_response(StatusCode::OK, body))
}

async fn known(face: &Face, json: Option<Json<'_>>) -> Result<PersonView, Failure> {
    let object = json.and_then(Json::object);
    let member = |name| {
        let value = object.as_ref().and_then(|object| object.member(name));
        value.and_then(Json::string).filter(|text| !text.is_empty())
    };
    let password = member("password").ok_or(Failure::Login("Password should be a string"))?;
    let email = member("email").ok_or(Failure::Login("Email should be a string"))?;
    let people = face.desk.read(move |reads| reads.people(&email)).await;
    let mut people = people.map_err(Failure::Read)?;
    people.truncate(PEOPLE_MAX);
    if people.is_empty() {
        // Costs what a wrong password costs, so that time does not tell who is known.
        checked(face, &password, None).await?;
    }
    for person in people {
        if checked(face, &password, Some(person.password_hash.clone())).await? {
            return Ok(person);
        }
    }
    Err(Failure::Login(WRONG))
}

async fn checked(face: &Face, password: &str, stored: Option<String>) -> Result<bool, Failure> {
    let password = Secret::new(password.to_owned());
    match face.desk.passwords().verify(password, stored).await {
        Ok(is_right) => Ok(is_right),
        Err(PasswordFault::TooLong) => Ok(false),
        Err(fault @ PasswordFault::StoredHash) => {
            tracing::error!(%fault, "a log-in failed");
            Ok(false)
        }
        Err(PasswordFault::Busy | PasswordFault::Stopping) => Err(Failure::Busy),
    }
}
