//! Compiles the sandbox's process 1 (`init/main.rs`), a static program without any library, which
//! the crate embeds. It needs only the compiler that builds this crate and its linker.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

#[allow(
    clippy::disallowed_methods,
    reason = "a build script runs the compiler"
)]
fn main() {
    println!("cargo::rerun-if-changed=init/main.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let output = PathBuf::from(variable("OUT_DIR")).join("init");
    let mut command = Command::new(variable("RUSTC"));
    command
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "init",
        ])
        .args(["--target", &variable("TARGET")])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "relocation-model=static", "-C", "codegen-units=1"])
        .args(["-C", "link-args=-nostartfiles -nostdlib -static -no-pie"])
        .args([
            "-C",
            "link-args=-Wl,--build-id=none,-z,noexecstack,-z,norelro",
        ]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        command.args(["-C", &format!("linker={linker}")]);
    }
    command.arg("-o").arg(&output).arg("init/main.rs");
    let built = command.status();
    if !built.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("cargo::error=cannot compile the sandbox's init: {built:?}");
        exit(1);
    }
    println!(
        "cargo::rustc-env=BOOTLACE_SANDBOX_INIT={}",
        output.display()
    );
}
