//! Trains and tests segmentation runs; see `segmentation --help`.

fn main() -> std::process::ExitCode {
    train::main::<segmentation::SemanticSegmentation>()
}
