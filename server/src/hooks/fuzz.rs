//! The fuzzer's look at what is kept of a webhook.

use super::kept;
use crate::connectors::notice::{Message, Said};

/// What is kept of a message says all that the message said, and can be stored.
pub(crate) fn kept(message: &Message) {
    assert!(!message.id.contains('\0') && !message.word.contains('\0'), "no store keeps a NUL");
    if let Said::Refund(notice) = &message.said {
        let text = kept::text(notice);
        assert_eq!(kept::notice(&text).as_ref(), Some(&**notice));
    }
}
