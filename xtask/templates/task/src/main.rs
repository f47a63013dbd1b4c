//! Trains and tests the runs of a task; see `example-task --help`.

fn main() -> std::process::ExitCode {
    train::main::<example_task::ExampleTask>()
}
