//! What the desk does for requests: a refund is proposed first, and where it would be refused for money that
//! unknown ones hold, those are asked after before it is decided. And people who want refunds cancelled.

use requite_core::refund::Status;
use requite_engine::command::{Cancellation, Command};

use super::World;
use crate::desk::{Doubted, Ticket};
use crate::psp::Recourse;

/// How long a refund waits for clarity, as the server's.
const CLARITY_MS: i64 = 5_000;

impl World {
    /// The desk proposes; other programs on the same books decide at once.
    pub(super) fn as_the_desk_asks(&mut self, command: Command) -> Command {
        let rate = self.weather.proposes;
        match command {
            Command::Refund(request) if rate > 0 && self.rng.chance(rate) => {
                Command::Propose(request)
            }
            command => command,
        }
    }

    /// A proposed refund is in doubt.
    pub(crate) fn ask_after_what_is_unknown(&mut self, ticket: &Ticket) {
        let request = ticket.request.clone().expect("a refund was proposed");
        self.tally.add("doubt", "asked after first");
        let until_ms = self.now_ms + CLARITY_MS;
        self.clarify(Doubted { request, until_ms });
    }

    /// One is known; there may be others.
    pub(crate) fn ask_on(&mut self, ticket: &Ticket) {
        if let Some(doubted) = ticket.doubted.clone() {
            self.tally.add("doubt", "heard of, asked on");
            self.clarify(doubted);
        }
    }

    fn clarify(&mut self, doubted: Doubted) {
        let (merchant, payment) = (doubted.request.merchant, doubted.request.payment);
        let command = Command::Clarify { merchant, payment, at_ms: self.wall_ms() };
        let node = self.here / self.lanes;
        self.ask_at(node, command, Ticket { doubted: Some(doubted), ..Ticket::default() });
    }

    /// What is not known by now holds its money.
    pub(super) fn doubts_end(&mut self) {
        let awake: Vec<usize> = self.awake().map(|(at, _)| at).collect();
        let now_ms = self.now_ms;
        for at in awake {
            let tickets = self.seat_at(at).tickets.values_mut();
            let over = tickets.filter(|ticket| {
                ticket.doubted.as_ref().is_some_and(|doubted| doubted.until_ms <= now_ms)
            });
            // Nobody listens to their answers any more.
            let over: Vec<Doubted> = over.filter_map(|ticket| ticket.doubted.take()).collect();
            for doubted in over {
                self.tally.add("doubt", "time is over");
                self.decide(at / self.lanes, doubted);
            }
        }
    }

    pub(crate) fn decide_doubted(&mut self, ticket: &Ticket, word: &str) {
        if let Some(doubted) = ticket.doubted.clone() {
            self.tally.add("doubt", word);
            self.decide(self.here / self.lanes, doubted);
        }
    }

    /// Asked for as of now: a call is prepared then, and would come too late as of before.
    fn decide(&mut self, node: usize, doubted: Doubted) {
        let mut request = doubted.request;
        request.ask.at_ms = self.wall_ms();
        let ticket = Ticket {
            request: Some(request.clone()),
            expires_at_ms: Some(self.now_ms + self.weather.patience_ms),
            is_decided_after_doubt: true,
            ..Ticket::default()
        };
        self.ask_at(node, Command::Refund(request), ticket);
    }

    /// Somebody wants a refund cancelled: mostly one that may be.
    pub(super) fn maybe_cancel(&mut self) {
        let rate = self.weather.cancels;
        if rate == 0 || self.is_calm || !self.rng.chance(rate) || self.model.refunds.is_empty() {
            return;
        }
        let waits = self
            .model
            .open
            .iter()
            .filter(|refund| self.model.refunds[*refund].status == Status::RequiresAction);
        let waits: Vec<_> = waits.copied().collect();
        let refund = if waits.is_empty() || self.rng.chance(100) {
            let chosen = self.rng.index(self.model.refunds.len());
            *self.model.refunds.keys().nth(chosen).expect("an index of them")
        } else {
            waits[self.rng.index(waits.len())]
        };
        let cancels: &[Status] = match self.psp.policy.recourse {
            Recourse::LookUp => &[Status::RequiresAction],
            Recourse::Repeat => &[],
        };
        let Some(node) = self.some_node() else { return };
        let request = Cancellation {
            refund,
            cancels,
            keys: Vec::new(),
            actor: String::from("person"),
            at_ms: self.wall_ms(),
        };
        let ticket = Ticket {
            cancels: Some(refund),
            expires_at_ms: Some(self.now_ms + self.weather.patience_ms),
            ..Ticket::default()
        };
        self.ask_at(node, Command::Cancel(Box::new(request)), ticket);
    }
}
