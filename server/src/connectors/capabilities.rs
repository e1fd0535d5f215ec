//! What each connector's PSP can do, as data. Connectors act by it, `requite connector list --json` shows
//! it, and the table in `docs/connectors.md` is held against it.
//!
//! Start at [`Capabilities`]; [`Units`] is how a PSP counts money.

use requite_core::currency::Currency;
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};
use serde_json::{Value, json};

use super::exchange::fault;

/// What a PSP can do with refunds.
#[derive(Debug)]
pub(crate) struct Capabilities {
    /// Less than all may be given back.
    pub partial: bool,
    /// And more than once.
    pub several_partials: bool,
    /// A refund must name the capture that it takes from.
    pub needs_capture: bool,
    /// Its answer to a refund is that it was received; what becomes of it is told later, by a notice.
    pub is_asynchronous: bool,
    pub recourse: Recourse,
    /// The statuses in which it cancels a refund. None: what it was asked for, it goes through with.
    pub cancels: &'static [Status],
    /// Days after the capture in which refunds are taken. `None`: it depends on the payment method, and
    /// the PSP says no by itself.
    pub window_days: Option<u16>,
    /// How long the PSP knows a key after its first use, at least. `None`: no keys are needed.
    pub key_hours: Option<u32>,
    pub units: Units,
    /// Reasons that the PSP has a word for.
    pub reasons: &'static [&'static str],
}

/// How to find out what became of a call whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recourse {
    /// Nobody was called, so nothing can be lost.
    None,
    /// The PSP says what it has. A refund is sent again only when it has nothing.
    LookUp,
    /// The PSP cannot be asked, and does a request once however often it comes with the same key. So it is
    /// sent again with that key, for so many hours after the refund was accepted: fewer than the key
    /// lives. Then nobody can tell but a notice or a person.
    Repeat { hours: u32 },
}

/// How a PSP counts amounts: in the minor units of ISO 4217, but for these.
#[derive(Debug)]
pub(crate) struct Units(pub &'static [Otherwise]);

/// Currencies that a PSP counts otherwise.
#[derive(Debug)]
pub(crate) struct Otherwise {
    /// With a space between them.
    pub codes: &'static str,
    pub decimals: u32,
    /// Amounts are multiples of it.
    pub step: i64,
}

impl Units {
    /// Decimals that the PSP counts a currency with, and the step its amounts go by.
    pub(crate) fn counted(&self, currency: Currency) -> (u32, i64) {
        let is_named =
            |other: &&Otherwise| other.codes.split(' ').any(|code| code == currency.code());
        let named = self.0.iter().find(is_named);
        named.map_or((u32::from(currency.exponent()), 1), |other| (other.decimals, other.step))
    }

    /// Our minor units in the PSP's. The error names the nearest amounts that can be expressed.
    pub(crate) fn of(&self, currency: Currency, amount: Minor) -> Result<i64, Fault> {
        let (exponent, step) = self.counted(currency);
        let ours = u32::from(currency.exponent());
        let units = amount.units();
        let converted = if exponent >= ours {
            units.checked_mul(power(exponent.saturating_sub(ours)))
        } else {
            exactly(units, power(ours.saturating_sub(exponent)))
        };
        converted
            .filter(|units| units.checked_rem(step) == Some(0))
            .ok_or_else(|| self.inexpressible(currency, units))
    }

    /// An amount as the PSP says it, in our minor units. `None`: no amount above zero, or no whole number
    /// of them, or no currency.
    pub(crate) fn ours(&self, currency: &str, units: i64) -> Option<(Minor, Currency)> {
        let currency = Currency::parse(currency)?;
        let (decimals, _) = self.counted(currency);
        let ours = u32::from(currency.exponent());
        let units = if decimals >= ours {
            exactly(units, power(decimals.saturating_sub(ours)))?
        } else {
            units.checked_mul(power(ours.saturating_sub(decimals)))?
        };
        let amount = Minor::new(units).filter(|amount| !amount.is_zero())?;
        Some((amount, currency))
    }

    fn inexpressible(&self, currency: Currency, units: i64) -> Fault {
        let (exponent, step) = self.counted(currency);
        let ours = u32::from(currency.exponent());
        let by = power(ours.saturating_sub(exponent)).saturating_mul(step);
        let below = units.saturating_sub(units.checked_rem(by).unwrap_or_default());
        let above = below.saturating_add(by);
        let code = currency.code();
        let text = format!(
            "{units} minor units of {code} cannot be given back at this PSP, which counts in steps of \
             {by}: {below} and {above} can"
        );
        fault("amount_not_expressible", text)
    }
}

fn power(exponent: u32) -> i64 {
    10_i64.checked_pow(exponent).unwrap_or(i64::MAX)
}

fn exactly(units: i64, by: i64) -> Option<i64> {
    let whole = units.checked_div(by)?;
    (whole.checked_mul(by)? == units).then_some(whole)
}

/// What the connectors that every merchant has can do. `None`: an account's name.
pub(crate) fn of_everyone(connector: &str) -> Option<&'static Capabilities> {
    match connector {
        super::MANUAL => Some(&MANUAL),
        super::sandbox::NAME => Some(&SANDBOX),
        _ => None,
    }
}

const MANUAL: Capabilities = Capabilities {
    partial: true,
    several_partials: true,
    needs_capture: false,
    is_asynchronous: false,
    recourse: Recourse::None,
    cancels: &[],
    window_days: None,
    key_hours: None,
    units: Units(&[]),
    reasons: &[],
};
const SANDBOX: Capabilities =
    Capabilities { recourse: Recourse::LookUp, cancels: &[Status::RequiresAction], ..MANUAL };

impl Capabilities {
    /// For programs.
    pub(crate) fn shown(&self) -> Value {
        let (recourse, repeat_hours) = match self.recourse {
            Recourse::None => ("none", None),
            Recourse::LookUp => ("look_up", None),
            Recourse::Repeat { hours } => ("repeat", Some(hours)),
        };
        let differs: serde_json::Map<String, Value> = Currency::all()
            .map(|currency| (currency, self.units.counted(currency)))
            .filter(|(currency, counted)| *counted != (u32::from(currency.exponent()), 1))
            .map(|(currency, (exponent, step))| {
                (currency.code().to_owned(), json!({ "decimals": exponent, "step": step }))
            })
            .collect();
        json!({
            "partial": self.partial,
            "several_partials": self.several_partials,
            "needs_capture": self.needs_capture,
            "asynchronous": self.is_asynchronous,
            "recourse": recourse,
            "repeat_hours": repeat_hours,
            "cancels": self.cancels.iter().map(|status| status.word()).collect::<Vec<_>>(),
            "window_days": self.window_days,
            "key_hours": self.key_hours,
            "reasons": self.reasons,
            "counted_otherwise_than_iso_4217": differs,
        })
    }
}

#[cfg(test)]
mod tests;
