//! Where values come from: defaults, then the file, then the environment, then the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use toml::Value;

use super::keys::{KEYS, Key, NOT_YET, from_text};
use super::{Config, check};
use crate::exit::Failure;

/// The options of every verb that reads the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigOptions {
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:4574]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Directory of everything the server keeps
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// How functions are kept apart: auto, namespaces or local (none at all) [default: auto]
    #[arg(long, value_name = "HOW")]
    pub(crate) isolation: Option<String>,
    /// How requests are authenticated: none (sigv4 is not built yet) [default: none]
    #[arg(long, value_name = "HOW")]
    pub(crate) auth: Option<String>,
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE", env = "BOOTLACE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set any key of the configuration; may be repeated
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The effective configuration and where each key came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    origins: BTreeMap<&'static str, Origin>,
}

/// One key as `bootlace config` shows it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: Value,
    pub(crate) default: Value,
    pub(crate) origin: Origin,
}

impl ConfigOptions {
    /// Reads all sources. Everything wrong with them is a usage failure that names key and source.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.load_with(std::env::vars_os()).map_err(Failure::Usage)
    }

    fn load_with(
        &self,
        vars: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, String> {
        let mut loaded = Loaded {
            config: Config::default(),
            origins: BTreeMap::new(),
        };
        if let Some(path) = &self.config {
            loaded.apply_file(path)?;
        }
        loaded.apply_environment(vars)?;
        loaded.apply_flags(self)?;
        check::check(&loaded.config)?;
        Ok(loaded)
    }
}

impl Loaded {
    /// Where a key's value came from.
    pub(crate) fn origin_of(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Every key, in the order of the tables.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let default = Config::default();
        KEYS.iter().map(move |key| {
            let (table, name) = key.path.split_once('.').unwrap_or(("", key.path));
            let show = |config| match (key.show)(config) {
                Value::String(text) if key.secret && !text.is_empty() => Value::from("(secret)"),
                value => value,
            };
            Row {
                table,
                name,
                help: key.help,
                value: show(&self.config),
                default: show(&default),
                origin: self
                    .origins
                    .get(key.path)
                    .cloned()
                    .unwrap_or(Origin::Default),
            }
        })
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration file {shown}: {error}"))?;
        let tables: toml::Table = text
            .parse()
            .map_err(|error| format!("{shown} is not valid TOML: {error}"))?;
        for (table, entries) in &tables {
            let Value::Table(entries) = entries else {
                return Err(format!(
                    "{}: `{table}` is not in a table such as [server]",
                    shown
                ));
            };
            if entries.is_empty() && !is_table(table) {
                find(table).map_err(|problem| format!("file {shown}: {problem}"))?;
            }
            for (name, value) in entries {
                let path = path.to_owned();
                self.apply(&format!("{table}.{name}"), Origin::File(path), |_| {
                    Ok(value.clone())
                })?;
            }
        }
        Ok(())
    }

    fn apply_environment(
        &mut self,
        vars: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), String> {
        for (name, value) in vars {
            let Some(name) = name.to_str() else { continue };
            let Some((table, key)) = name
                .strip_prefix("BOOTLACE_")
                .and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let path = format!("{}.{}", table.to_lowercase(), key.to_lowercase());
            self.apply(
                &path,
                Origin::Environment(name.to_owned()),
                |key| match value.to_str() {
                    Some(text) => from_text(key, text),
                    None => Err("the value is not UTF-8".to_owned()),
                },
            )?;
        }
        Ok(())
    }

    fn apply_flags(&mut self, options: &ConfigOptions) -> Result<(), String> {
        for pair in &options.set {
            let (path, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("--set {pair}: TABLE.KEY=VALUE is expected"))?;
            let origin = Origin::Flag(format!("--set {path}"));
            self.apply(path.trim(), origin, |key| from_text(key, value))?;
        }
        for (path, flag, value) in [
            ("server.listen", "--listen", &options.listen),
            ("store.data_dir", "--data-dir", &options.data_dir),
            ("sandbox.isolation", "--isolation", &options.isolation),
            ("auth.mode", "--auth", &options.auth),
        ] {
            if let Some(value) = value {
                let origin = Origin::Flag(flag.to_owned());
                self.apply(path, origin, |key| from_text(key, value))?;
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        path: &str,
        origin: Origin,
        value: impl FnOnce(&Key) -> Result<Value, String>,
    ) -> Result<(), String> {
        let key = find(path).map_err(|problem| format!("{origin}: {problem}"))?;
        value(key)
            .and_then(|value| (key.set)(&mut self.config, &value))
            .map_err(|problem| format!("{origin}: `{path}`: {problem}"))?;
        self.origins.insert(key.path, origin);
        Ok(())
    }
}

fn find(path: &str) -> Result<&'static Key, String> {
    if let Some(key) = KEYS.iter().find(|key| key.path == path) {
        return Ok(key);
    }
    let table = path.split('.').next().unwrap_or(path);
    match NOT_YET
        .iter()
        .find(|(name, _)| *name == path || *name == table)
    {
        Some((_, why)) => Err(format!("`{path}`: {why}")),
        None if is_table(table) => Err(format!("`{path}` is no key of the configuration")),
        None => Err(format!(
            "`{path}`: there is no table [{table}] in the configuration"
        )),
    }
}

fn is_table(table: &str) -> bool {
    KEYS.iter()
        .any(|key| key.path.split_once('.').is_some_and(|(of, _)| of == table))
}

#[cfg(test)]
mod tests;
