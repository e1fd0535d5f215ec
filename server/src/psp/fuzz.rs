//! The fuzzer's look at the simulated PSP: forms and scripts.

use super::books::Metadata;
use super::form::Form;
use super::script::Script;

pub(crate) fn texts(text: &str) {
    if let Some(form) = Form::parse(text) {
        form.canonical();
        form.metadata(&Metadata::new());
        form.list("expand");
    }
    drop(Script::read(text));
}
