//! `bootlace doctor`: what this host offers and lacks.

use bootlace_sandbox::probe;
use clap::Args;
use serde_json::json;

use crate::exit::{Done, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        let checks = probe::run();
        let well = checks.iter().all(|check| check.ok || !check.required);
        if self.json {
            output::json(&json!({ "ok": well, "checks": checks }))?;
        } else {
            output::data(report(&checks, well).as_bytes())?;
        }
        Ok(if well { Done::Well } else { Done::Badly })
    }
}

fn report(checks: &[probe::Check], well: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match (check.ok, check.required) {
            (true, _) => "ok     ",
            (false, true) => "MISSING",
            (false, false) => "absent ",
        };
        text.push_str(&format!("{mark}  {}: {}\n", check.name, check.detail));
        if let Some(remedy) = check.remedy.as_ref().filter(|_| !check.ok) {
            text.push_str(&format!("         remedy: {remedy}\n"));
        }
    }
    text.push_str(if well {
        "This host can run functions in sandboxes.\n"
    } else {
        "This host cannot run functions in sandboxes until the remedies above are applied.\n"
    });
    text
}
