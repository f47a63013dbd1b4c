//! Trains and tests detection runs; see `detection --help`.

fn main() -> std::process::ExitCode {
    train::main::<detection::ObjectDetection>()
}
