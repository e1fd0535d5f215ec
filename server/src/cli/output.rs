//! What a command prints.

use std::io::{self, Write};

use serde_json::Value;

/// Standard output, for people or for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Output {
        Output { is_json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.is_json
    }

    /// One result: `text` for people, `value` for programs.
    pub(crate) fn result(self, text: &str, value: &Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_json {
            writeln!(out, "{value}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()
    }

    /// A line for people; programs are not told.
    pub(crate) fn note(self, text: &str) -> io::Result<()> {
        if self.is_json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// The server listens.
    pub(crate) fn ready(self, url: &str) -> io::Result<()> {
        let text = format!("listening on {url}");
        self.result(&text, &serde_json::json!({"listening": url}))
    }
}

impl Output {
    /// One of many results for programs; see [`Output::flush`].
    pub(crate) fn row(self, value: &Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    pub(crate) fn flush(self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Text from outside without control characters, for a terminal.
pub(crate) fn visible(text: &str) -> String {
    let shown = text.chars().map(|character| match character {
        control if control.is_control() => '\u{fffd}',
        other => other,
    });
    shown.collect()
}
