//! The sandbox spawner as a program of its own, for tests: what `bootlace sandbox-init` runs.

fn main() -> std::process::ExitCode {
    bootlace_sandbox::spawner_main()
}
