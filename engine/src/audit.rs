//! Audits a store.
