//! The program of libFuzzer for every target of `requite::fuzz`: which one, the folder or file that it is
//! started with says.
//!
//!     cargo +nightly fuzz run any fuzz/corpus/json

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::env;
use std::path::Path;
use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let named = |part: &str| requite::fuzz::targets().find(|(name, _)| *name == part);
    let arguments: Vec<String> = env::args().skip(1).collect();
    let parts = arguments.iter().flat_map(|argument| Path::new(argument).iter().rev());
    let target = parts.filter_map(|part| named(part.to_str()?)).next();
    target.expect("one argument is a folder of fuzz/corpus").1
});

fuzz_target!(|input: &[u8]| RUN(input));
