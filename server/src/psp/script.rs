//! What is to go wrong, told beforehand: in order, or by rate from a seed.
//!
//! A script is a list of rules. For each request the first rule that fits and is not used up says three
//! things that do not depend on each other: what becomes of the money, how the answer goes out, and how the
//! webhooks do. The words are part of the product: `docs/psp.md` tells what each of them does.
//!
//! Start at [`Script::draw`].

use serde::{Deserialize, Serialize};

use super::books::Step;
use super::dice::Dice;

/// Rules of one script.
pub(crate) const RULES_MAX: usize = 1_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The operation, such as `refund.create`; `*` is every one.
    pub on: String,
    /// Only for this charge (or payment intent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
    /// So many that fit are let pass first.
    #[serde(default)]
    pub skip: u64,
    /// It is used so often; without it for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// It hits so many of a thousand that fit; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_mille: Option<u32>,
    /// What becomes of the refund that is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Step>,
    #[serde(default)]
    pub answer: Answer,
    /// Whether the request is carried out before its answer goes wrong; without it, unless the answer is
    /// a refusal (4xx).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts: Option<bool>,
    /// Whether an error is kept under the key and given again; without it, if the request was carried
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    #[serde(default)]
    pub webhook: Webhook,
    /// How often it was used.
    #[serde(default, skip_deserializing)]
    pub used: u64,
    /// How often it fitted.
    #[serde(default, skip_deserializing)]
    pub met: u64,
}

/// How an answer goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    #[default]
    Plain,
    /// The connection is closed without one.
    Lost,
    /// The connection is reset without one.
    Reset,
    /// There never is one, and the connection stays.
    Hang,
    /// It takes its time, and its key is in use meanwhile.
    Slow {
        ms: u64,
    },
    /// A byte at a time.
    Drip {
        ms: u64,
    },
    Error {
        status: u16,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        retry_after_s: Option<u32>,
    },
    Wrong(Wrong),
    /// A page for people, with status 200.
    Html,
    /// Half of the JSON, as if it were whole.
    CutJson,
    /// Half of the body that the head announced.
    CutBody,
    /// 100 MB of blanks before the JSON.
    Huge,
    /// The same, compressed to 100 kB.
    GzipBomb,
}

/// What is wrong in an answer that is otherwise right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wrong {
    Amount,
    Currency,
    Charge,
    /// A refund of somebody else: other ids, other metadata.
    Account,
    /// The amount is a text.
    Type,
    /// The status is a word that nobody knows.
    Status,
}

/// How the webhooks of a request go out, and all later ones of the refund that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Webhook {
    #[default]
    Once,
    Twice,
    Never,
    /// They are delivered before the answer goes out.
    First,
    Late {
        ms: i64,
    },
    /// The last first.
    Reversed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Of the rates. The ids have a seed of their own.
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(skip)]
    dice: Option<Dice>,
}

/// What is asked, as far as rules care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub operation: &'a str,
    /// The charge and the payment intent that it is about, where it is about any.
    pub subjects: [Option<&'a str>; 2],
}

impl Script {
    pub(crate) fn empty() -> Script {
        Script { seed: 0, rules: Vec::new(), dice: None }
    }

    /// Reads a script; what is wrong with it, in words.
    pub(crate) fn read(text: &str) -> Result<Script, String> {
        let script: Script = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
        if script.rules.len() > RULES_MAX {
            return Err(format!("{} rules; at most {RULES_MAX} are taken", script.rules.len()));
        }
        for (number, rule) in script.rules.iter().enumerate() {
            let is_known = rule.on == "*" || super::stripe::OPERATIONS.contains(&rule.on.as_str());
            if !is_known {
                let known = super::stripe::OPERATIONS.join(", ");
                return Err(format!(
                    "rule {number}: there is no operation {:?}; there are {known}",
                    rule.on
                ));
            }
        }
        Ok(script)
    }

    /// The number of the rule for a request, and the rule. It counts as used.
    pub(crate) fn draw(&mut self, asked: Asked<'_>) -> Option<(usize, Rule)> {
        let dice = self.dice.get_or_insert_with(|| Dice::new(self.seed));
        for (number, rule) in self.rules.iter_mut().enumerate() {
            let is_used_up = rule.times.is_some_and(|times| rule.used >= times);
            if is_used_up || !rule.fits(asked) {
                continue;
            }
            rule.met = rule.met.saturating_add(1);
            let is_hit = rule.per_mille.is_none_or(|per_mille| dice.hits(per_mille));
            if rule.met > rule.skip && is_hit {
                rule.used = rule.used.saturating_add(1);
                return Some((number, rule.clone()));
            }
        }
        None
    }
}

impl Rule {
    /// Nothing goes wrong.
    pub(crate) fn plain() -> Rule {
        Rule { on: "*".to_owned(), ..Rule::default() }
    }

    /// Whether a request that it is used for is carried out.
    pub(crate) fn acts(&self) -> bool {
        let is_refusal = matches!(self.answer, Answer::Error { status: 400..500, .. });
        self.acts.unwrap_or(!is_refusal)
    }

    /// Whether its error is kept under the request's key.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.unwrap_or(self.acts())
    }

    fn fits(&self, asked: Asked<'_>) -> bool {
        let is_about = |charge: &String| asked.subjects.contains(&Some(charge.as_str()));
        (self.on == "*" || self.on == asked.operation) && self.charge.as_ref().is_none_or(is_about)
    }
}
