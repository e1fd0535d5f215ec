//! What an answer must be: as recorded, or as one of the decisions demands instead.

use super::compare::{Dialect, Ids, compare};
use super::tree::Tree;
use crate::support::Response;

/// An answer that a decision demands in place of the recorded one.
#[derive(Debug)]
pub(super) enum Demand {
    /// The recorded status and body, after the decision's changes to the body.
    Body { status: u16, body: Tree },
    /// A JSON error of the dialect: `type` if named, `message` if named, else any text.
    Error { status: &'static [u16], kind: Option<&'static str>, message: Option<String> },
    /// The very bytes that the first call with the key got, and the header that says so.
    Replay(Box<Response>),
    /// This status and this text, which is no JSON.
    Text { status: u16, text: String },
    /// Only this status.
    Status(u16),
}

/// The answer to a key that was sent before with another meaning (A4), any message.
pub(super) fn key_reused() -> Demand {
    let text = |text: &str| Tree::Text(text.to_owned());
    let body = Tree::Object(vec![
        ("code".to_owned(), text("invalid_request_error")),
        ("type".to_owned(), text("duplicate_error")),
        ("message".to_owned(), Tree::Any),
    ]);
    Demand::Body { status: 422, body }
}

/// A refund that was accepted says which it is and how it stands (A8).
pub(super) fn refund_headers(target: &str, method: &str, answer: &Response) -> Vec<String> {
    let refunds =
        method == "POST" && target.contains("/refund") && !target.contains("refund-reasons");
    let accepted = refunds && matches!(answer.status, 200 | 201);
    let missing = |name: &&str| accepted && answer.header(name).is_none();
    let names = ["Requite-Refund-Id", "Requite-Refund-Status"];
    names.iter().filter(|name| missing(name)).map(|name| format!("no header {name} (A8)")).collect()
}

/// What is wrong with an answer, and which decisions it took to call it right.
pub(super) struct Judged {
    pub(super) problems: Vec<String>,
    pub(super) decisions: Vec<&'static str>,
}

/// Judges a whole answer against a demand.
pub(super) fn judge(
    demand: &Demand,
    dialect: &dyn Dialect,
    ids: &mut Ids,
    answer: &Response,
) -> Judged {
    let mut problems = Vec::new();
    let mut decisions = Vec::new();
    match demand {
        Demand::Status(status) => expect_status(&[*status], answer, &mut problems),
        Demand::Text { status, text } => {
            expect_status(&[*status], answer, &mut problems);
            if *text != answer.text() {
                problems.push(format!("recorded the text {text:?}"));
            }
        }
        Demand::Error { status, kind, message } => {
            expect_status(status, answer, &mut problems);
            error(answer, *kind, message.as_deref(), &mut problems);
        }
        Demand::Replay(first) => {
            expect_status(&[first.status], answer, &mut problems);
            if first.body != answer.body {
                problems.push(format!("first {:?}, repeat {:?}", first.text(), answer.text()));
            }
            if answer.header("Idempotent-Replayed") != Some("true") {
                problems.push("no Idempotent-Replayed: true".to_owned());
            }
        }
        Demand::Body { status, body } => {
            expect_status(&[*status], answer, &mut problems);
            match Tree::read(&answer.body) {
                Ok(ours) => {
                    let found = compare(dialect, ids, body, &ours);
                    problems.extend(found.differences);
                    decisions.extend(found.decisions);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if !problems.is_empty() {
        problems.push(format!("answer: {} {}", answer.status, shorten(&answer.text())));
    }
    Judged { problems, decisions }
}

fn expect_status(wanted: &[u16], answer: &Response, problems: &mut Vec<String>) {
    if !wanted.contains(&answer.status) {
        problems.push(format!("status {}, wanted {wanted:?}", answer.status));
    }
}

/// The shape that both Medusas' clients read an error from.
fn error(answer: &Response, kind: Option<&str>, message: Option<&str>, problems: &mut Vec<String>) {
    let body = match Tree::read(&answer.body) {
        Ok(body) => body,
        Err(problem) => return problems.push(problem),
    };
    match body.member("type").and_then(Tree::text) {
        None => problems.push("an error without type".to_owned()),
        Some(have) if kind.is_some_and(|kind| kind != have) => {
            problems.push(format!("type {have:?}, wanted {kind:?}"));
        }
        Some(_) => {}
    }
    match body.member("message").and_then(Tree::text) {
        None | Some("") => problems.push("an error without message".to_owned()),
        Some(have) if message.is_some_and(|message| message != have) => {
            problems.push(format!("message {have:?}, wanted {message:?}"));
        }
        Some(_) => {}
    }
}

/// One line of at most so many characters.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 900;
    let line = text.replace('\n', "\\n");
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => {
            format!("{}... ({} bytes)", line.get(..end).unwrap_or_default(), text.len())
        }
        None => line,
    }
}
