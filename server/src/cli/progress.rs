//! Progress on standard error: a bar where that is a terminal, elsewhere a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::output::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is written where there is no bar. What is done sooner writes none.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    bar: ProgressBar,
    /// What is counted.
    what: &'static str,
    is_terminal: bool,
    began: Instant,
    lines: u32,
}

impl Progress {
    /// Counts payments.
    pub(crate) fn payments() -> Progress {
        let template = "{bar:40} {human_pos}/{human_len} payments, {per_sec}, {eta} left";
        Progress::new(template, "payments")
    }

    /// Counts the pages of a store.
    pub(crate) fn pages() -> Progress {
        Progress::new("{bar:40} {human_pos}/{human_len} pages, {per_sec}, {eta} left", "pages")
    }

    /// Counts the bytes of a file.
    pub(crate) fn bytes() -> Progress {
        let template = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        Progress::new(template, "bytes")
    }

    fn new(template: &str, what: &'static str) -> Progress {
        let bar = ProgressBar::no_length();
        let is_terminal = std::io::stderr().is_terminal();
        if !is_terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { bar, what, is_terminal, began: Instant::now(), lines: 0 }
    }

    pub(crate) fn set(&mut self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        let passed = self.began.elapsed();
        if !self.is_terminal && passed >= LINE_EVERY.saturating_mul(self.lines.saturating_add(1)) {
            self.lines = self.lines.saturating_add(1);
            eprintln!("{}", line(done, total, self.what, passed));
        }
    }

    /// Prints a line to standard error above the bar.
    pub(crate) fn complain(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{}", visible(line)));
    }

    pub(crate) fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// `12000 of 50000 payments, 850 a second, 44 seconds left`
fn line(done: u64, total: u64, what: &str, passed: Duration) -> String {
    let ms = passed.as_millis().max(1);
    let rate = u128::from(done).saturating_mul(1_000) / ms;
    let left = u128::from(total.saturating_sub(done)).checked_div(rate);
    let left = left.map(|left| format!(", {left} seconds left")).unwrap_or_default();
    format!("{done} of {total} {what}, {rate} a second{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        for (done, total, ms, expected) in [
            (12_000, 50_000, 14_000, "12000 of 50000 payments, 857 a second, 44 seconds left"),
            (50_000, 50_000, 10_000, "50000 of 50000 payments, 5000 a second, 0 seconds left"),
            (0, 50_000, 10_000, "0 of 50000 payments, 0 a second"),
            (9, 3, 0, "9 of 3 payments, 9000 a second, 0 seconds left"),
        ] {
            assert_eq!(line(done, total, "payments", Duration::from_millis(ms)), expected);
        }
    }
}
