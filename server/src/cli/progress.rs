//! A progress bar on standard error, where that is a terminal; nothing otherwise.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts payments.
    pub(crate) fn payments() -> Progress {
        Progress::new("{bar:40} {human_pos}/{human_len} payments, {per_sec}, {eta} left")
    }

    /// Counts the pages of a store.
    pub(crate) fn pages() -> Progress {
        Progress::new("{bar:40} {human_pos}/{human_len} pages, {per_sec}, {eta} left")
    }

    /// Counts the bytes of a file.
    pub(crate) fn bytes() -> Progress {
        Progress::new("{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
    }

    fn new(template: &str) -> Progress {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress(bar)
    }

    pub(crate) fn set(&mut self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Prints a line to standard error above the bar.
    pub(crate) fn complain(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn end(self) {
        self.0.finish_and_clear();
    }
}
