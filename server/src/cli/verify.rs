//! `requite verify`: proof, from the store alone, that no money was made or lost.

use anyhow::anyhow;
use clap::Args;
use requite_core::id::uuid_text;
use serde_json::json;

use super::Done;
use super::output::Output;
use super::progress::Progress;
use crate::config::Config;

/// Audit every invariant that can be read from the store; a server may be using it
///
/// Prints each payment that breaks one. Exit code 0 only if all hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite verify
  requite verify --database sqlite:/var/lib/requite/requite.db --json")]
pub(crate) struct Verify {}

impl Verify {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let mut progress = Progress::payments();
        let report = config.database.audit(&mut |done, total| progress.set(done, total))?;
        progress.end();
        for violation in &report.violations {
            let merchant = uuid_text(violation.merchant.bits());
            let payment = uuid_text(violation.payment.bits());
            let invariant = violation.invariant;
            let text = format!(
                "{invariant} broken by payment {payment} of merchant {merchant}: {}",
                violation.what
            );
            let value = json!({
                "invariant": invariant,
                "merchant": merchant,
                "payment": payment,
                "what": violation.what,
            });
            output.result(&text, &value)?;
        }
        let (payments, refunds, events) = (report.payments, report.refunds, report.events);
        let broken = report.violations.len();
        let counted = format!("{payments} payments, {refunds} refunds and {events} events");
        let text = match broken {
            0 => format!("{counted} audited: every invariant holds"),
            _ => format!("{counted} audited: {broken} violations"),
        };
        let value = json!({
            "payments": payments,
            "refunds": refunds,
            "events": events,
            "violations": broken,
        });
        output.result(&text, &value)?;
        if broken == 0 {
            return Ok(());
        }
        Err(anyhow!("{broken} violations were found; do not refund from this store before they are understood").into())
    }
}
