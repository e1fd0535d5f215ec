//! The program `requite`. Everything it does is in the library beside it.

fn main() -> std::process::ExitCode {
    requite::run()
}
