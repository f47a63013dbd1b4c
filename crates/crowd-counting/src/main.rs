//! Trains and tests crowd-counting runs; see `crowd-counting --help`.

fn main() -> std::process::ExitCode {
    train::main::<crowd_counting::CrowdCounting>()
}
