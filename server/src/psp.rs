//! A PSP to test against: Stripe's wire and Adyen's, books of its own, and a script of what is to go wrong.
//!
//! `requite psp` runs it as a process of its own. It knows nothing of the engine or the connectors: it is
//! what they are judged by, and other people's integrations too. What it does is told in `docs/psp.md`.
//!
//! - [`books`] decides over money; [`keys`] over idempotency keys; [`hooks`] over webhooks.
//! - [`script`] says what is to go wrong; [`stripe`] and [`adyen`] are the wires, [`wire`] what they have in common.
//! - [`control`] is the way in for whoever runs it: books, scripts, the clock.
//! - [`server`] is the only part that waits, and that touches sockets and files.
//!
//! Invariants:
//! - Everything but [`server`] is a function of what it is told: time comes with each request, chance
//!   from a seed.
//! - A script changes how an answer goes out, never what the books say was done.
//!
//! Start at [`Simulator::answer`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use books::{Books, Change, Entry, Step};
use dice::Dice;
use form::Form;
use hooks::Hooks;
use keys::{Found, Kept, Keys};
use script::{Answer, Asked, Rule, Script, Webhook};
use wire::{Failure, Wire};

mod adyen;
mod books;
pub(crate) mod control;
mod dice;
mod faults;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hooks;
mod keys;
pub(crate) mod script;
pub(crate) mod server;
mod stripe;
#[cfg(test)]
mod tests;
mod wire;

/// Calls that are remembered; older ones are dropped.
const CALLS_MAX: usize = 100_000;

/// How a simulator begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// Of its ids.
    pub seed: u64,
    pub has_guard: bool,
    pub honours_keys: bool,
    /// The one key that opens it; without it every key of the test mode does.
    pub api_key: Option<String>,
    pub script: Script,
}

/// The whole of it, but for time and sockets.
#[derive(Clone, Debug)]
pub(crate) struct Simulator {
    books: Books,
    keys: Keys,
    script: Script,
    hooks: Hooks,
    dice: Dice,
    api_key: Option<String>,
    /// What its clock is ahead of the machine's.
    ahead_ms: i64,
    calls: Vec<Heard>,
    /// How the webhooks of a refund go out, where a script said so.
    manners: BTreeMap<String, Webhook>,
    /// What is to be written to the file.
    lines: Vec<Line>,
}

/// A request, as far as the wire matters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// As it came in `Authorization`.
    pub authorization: Option<String>,
    /// As it came in `X-API-Key`.
    pub api_key: Option<String>,
    pub account: Option<String>,
    pub key: Option<String>,
    pub body: Vec<u8>,
}

/// A request that its wire understood.
#[derive(Debug)]
struct Understood<'a> {
    wire: Wire,
    operation: &'static str,
    /// The charge and the payment intent that it is about.
    subjects: [Option<String>; 2],
    /// In a fixed order.
    parameters: String,
    key: Option<&'a str>,
    now_ms: i64,
}

/// A request that came, and what was answered. For whoever reads the control API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Heard {
    pub at_ms: i64,
    pub request: String,
    pub operation: Option<&'static str>,
    pub method: String,
    pub path: String,
    /// The charge, or else the payment intent, that it is about.
    pub charge: Option<String>,
    pub key: Option<String>,
    /// The number of the script's rule that fitted.
    pub rule: Option<usize>,
    pub is_repeat: bool,
    /// As it would have been answered; the wire may have lost it.
    pub status: u16,
}

/// How the bytes of an answer go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    Lost,
    Reset,
    Never,
    After { ms: u64 },
    Drip { ms: u64 },
    CutBody,
    Huge,
    Bomb,
}

/// What is answered, and how.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub manner: Manner,
    /// Deliveries that go out before it.
    pub first: Vec<u64>,
}

/// A line of the file: what is needed to go on after a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Book(Entry),
    Key(Kept),
}

impl Simulator {
    pub(crate) fn new(start: Start) -> Simulator {
        Simulator {
            books: Books::new(start.has_guard),
            keys: Keys::new(start.honours_keys),
            script: start.script,
            hooks: Hooks::default(),
            dice: Dice::new(start.seed),
            api_key: start.api_key,
            ahead_ms: 0,
            calls: Vec::new(),
            manners: BTreeMap::new(),
            lines: Vec::new(),
        }
    }

    /// Takes back what a file says.
    pub(crate) fn restore(&mut self, line: Line) {
        match line {
            Line::Book(entry) => self.books.restore(entry),
            Line::Key(kept) => self.keys.keep(kept),
        }
    }

    /// What is to be written to the file since the last time this was asked.
    pub(crate) fn lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// The simulator's time for a time of the machine.
    pub(crate) fn now_ms(&self, wall_ms: i64) -> i64 {
        wall_ms.saturating_add(self.ahead_ms)
    }

    /// The time of the machine at which something is due next without a request.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        let due_ms = self.books.due_ms().into_iter().chain(self.hooks.due_ms()).min()?;
        Some(due_ms.saturating_sub(self.ahead_ms))
    }

    /// Lets happen what is due; the webhooks to be sent now.
    pub(crate) fn tick(&mut self, wall_ms: i64) -> Vec<hooks::Post> {
        let now_ms = self.now_ms(wall_ms);
        self.books.advance(now_ms);
        self.settle((None, None), &Webhook::Once, now_ms);
        self.hooks.take_due(now_ms)
    }

    /// One try of a delivery that goes out before an answer.
    pub(crate) fn post(&mut self, number: u64, wall_ms: i64) -> Option<hooks::Post> {
        self.hooks.take(number, self.now_ms(wall_ms))
    }

    pub(crate) fn posted(&mut self, number: u64, status: Option<u16>, wall_ms: i64) {
        self.hooks.tried(number, status, self.now_ms(wall_ms));
    }

    /// Writes down and tells what has changed. Answers the deliveries that are to go out first.
    fn settle(
        &mut self,
        origin: (Option<&str>, Option<&str>),
        manner: &Webhook,
        now_ms: i64,
    ) -> Vec<u64> {
        let changes = self.books.changes();
        self.lines.extend(changes.iter().map(|change| Line::Book(change.entry.clone())));
        let mut first = Vec::new();
        let mut rest = Vec::new();
        for change in changes {
            let scripted = match &change {
                Change { entry: Entry::Refund(refund), before: None } => {
                    if !matches!(manner, Webhook::Once | Webhook::First) {
                        self.manners.insert(refund.id.clone(), manner.clone());
                    }
                    None
                }
                Change { entry: Entry::Refund(refund), .. } => {
                    self.manners.get(&refund.id).cloned()
                }
                Change { .. } => None,
            };
            match scripted {
                Some(scripted) => {
                    let events = self.events(&[change], origin, now_ms);
                    first.extend(self.hooks.tell(events, &scripted, now_ms));
                }
                None => rest.push(change),
            }
        }
        let events = self.events(&rest, origin, now_ms);
        first.extend(self.hooks.tell(events, manner, now_ms));
        first
    }

    /// What changes are told by, each on the wire of its charge.
    fn events(
        &mut self,
        changes: &[Change],
        origin: (Option<&str>, Option<&str>),
        now_ms: i64,
    ) -> Vec<hooks::Event> {
        let mut events = Vec::new();
        for change in changes {
            let payment = adyen::payment(&self.books, &change.entry).cloned();
            events.extend(match payment {
                Some(payment) => adyen::events(self, &payment, change),
                None => stripe::events(self, std::slice::from_ref(change), origin, now_ms),
            });
        }
        events
    }

    /// Answers a request of a PSP's API.
    pub(crate) fn answer(&mut self, request: &Request, wall_ms: i64) -> Reply {
        let now_ms = self.now_ms(wall_ms);
        self.books.advance(now_ms);
        self.settle((None, None), &Webhook::Once, now_ms);
        let wire = Wire::of(&request.path);
        let id = match wire {
            Wire::Stripe => self.dice.id("req_"),
            Wire::Adyen => self.dice.reference(),
        };
        let mut heard = Heard {
            at_ms: now_ms,
            request: id.clone(),
            operation: None,
            method: request.method.clone(),
            path: request.path.clone(),
            charge: None,
            key: request.key.clone(),
            rule: None,
            is_repeat: false,
            status: 0,
        };
        let mut reply = match self.carry_out(request, &mut heard, now_ms) {
            Ok(reply) => reply,
            Err(failure) => Reply::failed(&failure, &id),
        };
        heard.status = reply.status;
        if self.calls.len() >= CALLS_MAX {
            self.calls.drain(..CALLS_MAX / 2);
        }
        self.calls.push(heard);
        match wire {
            Wire::Stripe => {
                reply.headers.push(("request-id", id));
                reply.headers.push(("stripe-version", stripe::VERSION.to_owned()));
            }
            Wire::Adyen => reply.headers.push(("pspreference", id)),
        }
        reply.headers.extend(request.key.iter().map(|key| ("idempotency-key", key.clone())));
        reply
    }

    fn carry_out(
        &mut self,
        request: &Request,
        heard: &mut Heard,
        now_ms: i64,
    ) -> Result<Reply, Failure> {
        if Wire::of(&request.path) == Wire::Adyen {
            let call = adyen::read(request, self.api_key.as_deref(), now_ms)?;
            let understood = Understood {
                wire: Wire::Adyen,
                operation: call.operation,
                subjects: [call.payment.map(str::to_owned), None],
                parameters: call.parameters(),
                key: call.key,
                now_ms,
            };
            let act = |this: &mut Simulator, fate| Ok(adyen::act(this, &call, fate)?);
            return self.perform(request, &understood, heard, act);
        }
        self.admit(request)?;
        let found = stripe::operation(&request.method, &request.path);
        let unknown = || stripe::failure::Failure::no_path(&request.method, &request.path);
        let (operation, id) = found.ok_or_else(unknown)?;
        heard.operation = Some(operation);
        let is_post = request.method == "POST";
        let body = std::str::from_utf8(&request.body).ok();
        let text = if is_post { body } else { Some(request.query.as_str()) };
        let form = text.and_then(Form::parse);
        let form = form.ok_or_else(stripe::failure::Failure::unreadable)?;
        let key = request.key.as_deref().filter(|_| is_post);
        let mut call = stripe::Call { operation, id, form: &form, key, now_ms, fate: Vec::new() };
        let subjects = call.subjects(self).map(|subject| subject.map(str::to_owned));
        let parameters = form.canonical();
        let understood =
            Understood { wire: Wire::Stripe, operation, subjects, parameters, key, now_ms };
        self.perform(request, &understood, heard, |this, fate| {
            call.fate = fate;
            Ok((200, stripe::act(this, &call)?))
        })
    }

    /// Answers a request that was understood, as the script and its key say. `act` carries it out.
    fn perform(
        &mut self,
        request: &Request,
        understood: &Understood<'_>,
        heard: &mut Heard,
        act: impl FnOnce(&mut Simulator, Vec<Step>) -> Result<(u16, Value), Failure>,
    ) -> Result<Reply, Failure> {
        let &Understood { wire, operation, ref subjects, key, now_ms, .. } = understood;
        heard.operation = Some(operation);
        let asked = Asked { operation, subjects: subjects.each_ref().map(Option::as_deref) };
        let drawn = self.script.draw(asked);
        heard.charge = subjects.iter().flatten().next().cloned();
        heard.rule = drawn.as_ref().map(|(number, _)| *number);
        let rule = drawn.map(|(_, rule)| rule).unwrap_or_else(Rule::plain);
        if !rule.acts() && !rule.is_kept() {
            return Ok(faults::unacted(&rule, wire, &heard.request));
        }
        if let Some(repeat) = self.repeat(understood, &request.path)? {
            heard.is_repeat = true;
            return Ok(faults::spoilt(repeat, &rule));
        }
        let acted =
            if rule.acts() { act(self, rule.money.clone()) } else { Ok((200, Value::Null)) };
        let first = self.settle((Some(&heard.request), key), &rule.webhook, now_ms);
        let mut reply = match acted {
            Ok((status, shown)) => Reply { status, ..Reply::shown(&shown) },
            Err(failure) if failure.is_of_form() => return Err(failure),
            Err(failure) => Reply::failed(&failure, &heard.request),
        };
        if let Answer::Error { status, code, .. } = &rule.answer {
            let failure = wire.scripted(*status, code.as_deref());
            let error = Reply { first, ..Reply::failed(&failure, &heard.request) };
            let kept = if rule.is_kept() { &error } else { &reply };
            self.keep(understood, request, kept, (heard, now_ms));
            return Ok(faults::with_retry_after(error, &rule));
        }
        reply.first = first;
        let ready_ms = match rule.answer {
            Answer::Slow { ms } => now_ms.saturating_add(i64::try_from(ms).unwrap_or(0)),
            _ => now_ms,
        };
        self.keep(understood, request, &reply, (heard, ready_ms));
        Ok(faults::spoilt(reply, &rule))
    }

    /// Checks who asks on Stripe's wire.
    fn admit(&self, request: &Request) -> Result<(), stripe::failure::Failure> {
        use stripe::failure::Failure;

        let given = request.authorization.as_deref().and_then(api_key);
        let given = given.ok_or_else(Failure::no_key)?;
        let is_good = match &self.api_key {
            Some(key) => *key == given,
            None => ["sk_test_", "rk_test_"].iter().any(|prefix| given.starts_with(prefix)),
        };
        if !is_good {
            return Err(Failure::bad_key(&given));
        }
        match request.account.as_deref() {
            None | Some(stripe::ACCOUNT) => Ok(()),
            Some(other) => Err(Failure::other_account(other)),
        }
    }

    /// The answer that a key has been given before, if any.
    fn repeat(&self, understood: &Understood<'_>, path: &str) -> Result<Option<Reply>, Failure> {
        let &Understood { wire, key: Some(key), ref parameters, now_ms, .. } = understood else {
            return Ok(None);
        };
        wire.check_key(key)?;
        let found = self.keys.find(key, (path, parameters), wire.key_life_ms(), now_ms);
        wire.key_trouble(key, &found)?;
        let Found::Kept(kept) = found else {
            return Ok(None);
        };
        let headers = match wire {
            Wire::Stripe => vec![
                ("idempotent-replayed", "true".to_owned()),
                ("original-request", kept.request.clone()),
            ],
            Wire::Adyen => Vec::new(),
        };
        Ok(Some(Reply { status: kept.status, headers, ..Reply::whole(kept.body.clone()) }))
    }

    /// Keeps an answer under its key, if it has one.
    fn keep(
        &mut self,
        understood: &Understood<'_>,
        request: &Request,
        reply: &Reply,
        (heard, ready_ms): (&Heard, i64),
    ) {
        let Some(key) = understood.key else {
            return;
        };
        let kept = Kept {
            key: key.to_owned(),
            path: request.path.clone(),
            parameters: understood.parameters.clone(),
            at_ms: understood.now_ms,
            ready_ms,
            request: heard.request.clone(),
            status: reply.status,
            body: reply.body.clone(),
        };
        self.lines.push(Line::Key(kept.clone()));
        self.keys.keep(kept);
    }
}

/// The key in a credential: Bearer, or Basic with the key as user.
fn api_key(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_owned(),
        "basic" => {
            let bytes = data_encoding::BASE64.decode(rest.trim().as_bytes()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            text.split_once(':').map_or(text.as_str(), |(user, _)| user).to_owned()
        }
        _ => return None,
    };
    (!key.is_empty()).then_some(key)
}

impl Reply {
    fn whole(body: String) -> Reply {
        Reply { status: 200, headers: Vec::new(), body, manner: Manner::Whole, first: Vec::new() }
    }

    fn shown(value: &Value) -> Reply {
        Reply::whole(serde_json::to_string_pretty(value).unwrap_or_default())
    }

    fn failed(failure: &Failure, request: &str) -> Reply {
        Reply { status: failure.status(), ..Reply::shown(&failure.body(request)) }
    }
}
