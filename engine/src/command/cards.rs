//! What people type reaches no store with a card number in it.

use requite_core::card::masked;

use super::Command;

impl Command {
    /// Strikes the middle digits of card numbers out of every text that somebody may have typed. What
    /// something is found by (ids, external identifiers, aliases) stays as it is, as does what keys were
    /// hashed from.
    pub(crate) fn strike_cards(&mut self) {
        match self {
            Command::Refund(request) | Command::Propose(request) => {
                let details = &mut request.details;
                for text in [&mut details.reason_text, &mut details.note, &mut details.key_text] {
                    strike(text.as_mut(), false);
                }
                strike(details.metadata.as_mut(), true);
            }
            Command::Register(new) => {
                strike(new.description.as_mut(), false);
                strike(Some(&mut new.profile), true);
            }
            Command::Resolve(request) => strike(Some(&mut request.evidence), false),
            Command::Amend(request) => strike(request.metadata.as_mut(), true),
            Command::Book(_)
            | Command::Settle { .. }
            | Command::Wake { .. }
            | Command::Notice(_)
            | Command::Clarify { .. }
            | Command::Cancel(_)
            | Command::Learn { .. }
            | Command::Expire { .. } => {}
        }
    }
}

fn strike(text: Option<&mut String>, is_json: bool) {
    if let Some(text) = text
        && let Some(kept) = masked(text, is_json)
    {
        *text = kept;
    }
}
