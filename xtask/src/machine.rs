//! What this machine must have, and how it gets it: from Debian's packages, or by a person's hand.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::shell;

/// Something that a task needs, and Debian's package that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    what: What,
    package: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A program on the PATH.
    Program(&'static str),
    File(&'static str),
    /// A module of Python's standard library; Debian packs some of them apart.
    PythonModule(&'static str),
}

const fn program(name: &'static str, package: &'static str) -> Need {
    Need {
        what: What::Program(name),
        package,
    }
}

/// What the walkthrough's shell runtime finds in its sandbox.
pub(crate) const DEMO: &[Need] = &[
    program("bash", "bash"),
    program("curl", "curl"),
    program("awk", "mawk"),
    program("grep", "grep"),
    program("sed", "sed"),
    program("mktemp", "coreutils"),
    Need {
        what: What::File("/etc/ssl/certs/ca-certificates.crt"),
        package: "ca-certificates",
    },
];

/// What the tests need beyond that.
pub(crate) const TEST: &[Need] = &[
    program("cc", "gcc"),
    Need {
        what: What::File("/usr/include/stdio.h"),
        package: "libc6-dev",
    },
    program("python3", "python3"),
    // The Python that functions find in their sandboxes.
    Need {
        what: What::File("/usr/bin/python3"),
        package: "python3",
    },
    // AWS's runtime client for Node.js is compiled when it is installed.
    program("npm", "npm"),
    program("c++", "g++"),
    program("make", "make"),
    program("cmake", "cmake"),
    program("xz", "xz-utils"),
    // Its version 2 is not on the package index for Python, and only version 2 can follow logs.
    Need {
        what: What::File("/usr/bin/aws"),
        package: "awscli",
    },
    Need {
        what: What::PythonModule("venv"),
        package: "python3-venv",
    },
    Need {
        what: What::PythonModule("ensurepip"),
        package: "python3-venv",
    },
];

/// What the fuzz targets need: libFuzzer is C++.
pub(crate) const FUZZ: &[Need] = &[program("c++", "g++")];

/// Installs what is missing as root with apt-get, or says exactly what to install.
pub(crate) fn provide(needs: &[Need]) -> anyhow::Result<()> {
    let packages = missing(needs);
    if packages.is_empty() {
        return Ok(());
    }
    let remedy = format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if !(is_root() && on_path("apt-get")) {
        bail!("this machine lacks something; as root, run:\n    {remedy}");
    }
    eprintln!("installing what this machine lacks: {}", packages.join(" "));
    shell::run(apt_get(&["update", "--quiet"]))?;
    let mut install = apt_get(&["install", "--quiet", "--yes", "--no-install-recommends"]);
    install.args(&packages);
    shell::run(install)?;
    match missing(needs).as_slice() {
        [] => Ok(()),
        still => bail!("still missing after `{remedy}`: {}", still.join(" ")),
    }
}

pub(crate) fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs
        .iter()
        .filter(|need| !has(need.what))
        .map(|need| need.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn has(what: What) -> bool {
    match what {
        What::Program(name) => on_path(name),
        What::File(path) => Path::new(path).exists(),
        What::PythonModule(name) => {
            let mut python = shell::command("python3");
            python.args(["-c", &format!("import {name}")]);
            shell::output(python).is_some()
        }
    }
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = shell::command("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    let mut id = shell::command("id");
    id.arg("-u");
    shell::output(id).is_some_and(|uid| uid.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::{Need, What, missing, program};

    #[test]
    fn what_is_missing_is_named_once_by_its_package() {
        let needs = [
            program("sh", "dash"),
            program("no-such-program", "some-package"),
            Need {
                what: What::File("/no/such/file"),
                package: "some-package",
            },
            Need {
                what: What::PythonModule("no_such_module"),
                package: "another-package",
            },
        ];
        assert_eq!(missing(&needs), ["another-package", "some-package"]);
    }
}
