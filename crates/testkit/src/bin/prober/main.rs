//! Looks at a sandbox from inside, tries to get out of it, and reports as JSON.
//!
//! `prober look` · `prober escape` · `prober reach PORT ABSTRACT_NAME` · `prober write PATH…` ·
//! `prober fill PATH` · `prober files DIR` · `prober fork` · `prober memory` ·
//! `prober sockets`

mod escape;
mod exhaust;
mod view;

use serde_json::Value;

fn main() {
    // First of all: any other call could open something.
    let descriptors = view::descriptors();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let report: Value = match args[..] {
        ["look"] => view::look(descriptors),
        ["escape"] => escape::attempts(),
        ["reach", port, name] => view::reach(port.parse().unwrap_or(0), name),
        ["write", ref paths @ ..] => view::write(paths),
        ["fill", path] => exhaust::fill(path),
        ["files", dir] => exhaust::files(dir),
        ["fork"] => exhaust::fork(),
        ["memory"] => exhaust::memory(),
        ["sockets"] => exhaust::sockets(),
        _ => Value::from("unknown task"),
    };
    println!("{report}");
}
