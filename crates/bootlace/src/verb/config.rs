//! `bootlace config`: the effective configuration, as a file that could be used again.

use clap::Args;
use serde_json::json;

use crate::config::{ConfigOptions, Loaded};
use crate::exit::{Done, Failure};
use crate::output::{self, Format};

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    options: ConfigOptions,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Config {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        let loaded = self.options.load()?;
        match self.output {
            Format::Text => output::data(as_toml(&loaded).as_bytes())?,
            Format::Json => output::json(&as_json(&loaded))?,
        }
        Ok(Done::Well)
    }
}

fn as_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut table = "";
    for row in loaded.rows() {
        if row.table != table {
            let blank = if table.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{blank}[{}]\n", row.table));
            table = row.table;
        }
        let origin = if row.value == row.default {
            row.origin.to_string()
        } else {
            format!("{}; default {}", row.origin, row.default)
        };
        text.push_str(&format!(
            "# {}\n{} = {} # {origin}\n",
            row.help, row.name, row.value
        ));
    }
    text
}

fn as_json(loaded: &Loaded) -> serde_json::Value {
    let rows = loaded.rows().map(|row| {
        json!({
            "key": format!("{}.{}", row.table, row.name),
            "value": row.value,
            "default": row.default,
            "origin": row.origin.to_string(),
            "help": row.help,
        })
    });
    rows.collect()
}
