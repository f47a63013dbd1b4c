//! Trains and tests classification runs; see `classification --help`.

fn main() -> std::process::ExitCode {
    train::main::<classification::Classification>()
}
