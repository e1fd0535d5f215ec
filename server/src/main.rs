mod access;
mod config;
mod connectors;
mod crypto;
mod desk;
mod faces;
#[allow(dead_code, unused_imports, reason = "not served yet")]
mod http;
#[allow(dead_code, unused_imports, reason = "not read yet")]
mod json;
mod time;

fn main() {}
