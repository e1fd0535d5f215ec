//! `GET /alarms` and `GET /notices`: what people should look at, and what became of what PSPs told.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::uuid_text;
use requite_engine::inbox::{AlarmView, Inbox, ListPage, MessageState, MessageView};
use requite_engine::read::ReadFault;

use super::failure::Failure;
use super::query::Parameters;
use super::view::{self, Shown};
use super::wire::{actor, json_answer};
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::millis_text;

pub(super) async fn alarms(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &["until", "limit"])?;
    let page = page(&parameters)?;
    let found = look(&desk, move |inbox| inbox.alarms(actor.merchant, &page)).await?;
    Ok(answer(found.iter().map(alarm)))
}

pub(super) async fn notices(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &["state", "until", "limit"])?;
    let page = page(&parameters)?;
    let only = match parameters.text("state")? {
        None => None,
        Some(word) => {
            let words: Vec<&str> = MessageState::LISTED.iter().map(|row| row.2).collect();
            let rule = format!("must be of {}", words.join(", "));
            let state = MessageState::from_word(&word);
            Some(state.ok_or_else(|| Failure::parameter("state", &rule))?)
        }
    };
    let found = look(&desk, move |inbox| inbox.messages(actor.merchant, only, &page)).await?;
    Ok(answer(found.iter().map(notice)))
}

fn page(parameters: &Parameters) -> Result<ListPage, Failure> {
    Ok(ListPage { until_ms: parameters.time("until")?, limit: parameters.limit()? })
}

async fn look<T: Send + 'static>(
    desk: &Desk,
    look: impl FnOnce(&dyn Inbox) -> Result<T, ReadFault> + Send + 'static,
) -> Result<T, Failure> {
    let found = desk.inbox(look).await;
    Ok(found.unwrap_or_else(|| Err(ReadFault::Store("the read was given up".to_owned())))?)
}

fn answer(items: impl Iterator<Item = String>) -> Response {
    let items = view::list(items);
    json_answer(StatusCode::OK, Shown::new().raw("items", &items).text())
}

fn alarm(view: &AlarmView) -> String {
    Shown::new()
        .member("alarm", view.alarm.word())
        .member("payment", uuid_text(view.payment.bits()))
        .member("refund", uuid_text(view.refund.bits()))
        .member("at", millis_text(view.at_ms))
        .text()
}

fn notice(view: &MessageView) -> String {
    Shown::new()
        .member("id", &view.id)
        .member("account", uuid_text(view.at.account))
        .member("event", &view.word)
        .member("state", view.state.word())
        .member("result", &view.result)
        .member("refund", view.refund.map(|refund| uuid_text(refund.bits())))
        .member("tries", view.tries)
        .member("received_at", millis_text(view.received_at_ms))
        .member("next_try_at", view.next_try_at_ms.map(millis_text))
        .member("done_at", view.done_at_ms.map(millis_text))
        .text()
}
