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
mod tests {
    use std::io::Write;

    use super::*;

    fn load(file: &str, vars: &[(&str, &str)], set: &[&str]) -> Result<Loaded, String> {
        let mut temp = tempfile::NamedTempFile::new().expect("a temporary file");
        temp.write_all(file.as_bytes()).expect("written");
        let options = ConfigOptions {
            config: Some(temp.path().to_owned()),
            set: set.iter().map(|pair| (*pair).to_owned()).collect(),
            ..ConfigOptions::default()
        };
        let vars = vars
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let result = options.load_with(vars);
        result.map_err(|error| error.replace(&*temp.path().to_string_lossy(), "FILE"))
    }

    fn refused(file: &str, vars: &[(&str, &str)], set: &[&str], expect: &str) {
        let error = load(file, vars, set)
            .map(|loaded| loaded.config)
            .expect_err(expect);
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let file = "[server]\ndrain_s = 1\nworkers = 4\n[invoke]\nidle_timeout_s = 2";
        let vars = [
            ("BOOTLACE_SERVER__DRAIN_S", "3"),
            ("BOOTLACE_INVOKE__IDLE_TIMEOUT_S", "4"),
        ];
        let loaded = load(file, &vars, &["invoke.idle_timeout_s=5"]).expect("valid");
        assert_eq!(loaded.config.server.workers, 4);
        assert_eq!(loaded.config.server.drain.as_secs(), 3);
        assert_eq!(loaded.config.invoke.idle_timeout.as_secs(), 5);
        let origins: Vec<String> = loaded
            .rows()
            .filter(|row| row.origin != Origin::Default)
            .map(|row| {
                format!("{} {}", row.name, row.origin)
                    .split("/")
                    .next()
                    .unwrap_or("")
                    .to_owned()
            })
            .collect();
        assert_eq!(
            origins,
            [
                "drain_s environment BOOTLACE_SERVER__DRAIN_S",
                "workers file ",
                "idle_timeout_s flag --set invoke.idle_timeout_s"
            ]
        );
    }

    #[test]
    fn what_is_unknown_or_not_built_is_refused_by_name() {
        refused(
            "[server]\nlisten_on = 1",
            &[],
            &[],
            "file FILE: `server.listen_on` is no key",
        );
        refused(
            "[servers]\nlisten = 1",
            &[],
            &[],
            "there is no table [servers]",
        );
        refused("listen = 1", &[], &[], "`listen` is not in a table");
        refused(
            "",
            &[("BOOTLACE_SERVER__LISTENER", "x")],
            &[],
            "environment BOOTLACE_SERVER__LISTENER",
        );
        refused("", &[], &["server.nothing=1"], "flag --set server.nothing");
        refused(
            "[egress]\nmode = \"proxy\"",
            &[],
            &[],
            "`egress.mode`: egress is not built yet",
        );
        refused("[cluster]", &[], &[], "clusters are not built yet");
        refused(
            "[auth]\nmode = \"sigv4\"",
            &[],
            &[],
            "`sigv4` is not built yet",
        );
        refused(
            "[server]\ntls_key = \"x\"",
            &[],
            &[],
            "TLS is not built yet",
        );
    }

    #[test]
    fn wrong_values_name_their_key() {
        refused(
            "[server]\nlisten = 5",
            &[],
            &[],
            "`server.listen`: a text is expected, not integer",
        );
        refused(
            "",
            &[],
            &["server.listen=nowhere"],
            "`server.listen`: \"nowhere\" is no address",
        );
        refused("", &[], &["server.workers=0"], "0 is not between 1 and 512");
        refused(
            "",
            &[("BOOTLACE_INVOKE__IDLE_TIMEOUT_S", "soon")],
            &[],
            "\"soon\" is no whole number",
        );
        refused(
            "",
            &[],
            &["sandbox.isolation=some"],
            "none of auto, namespaces, local",
        );
        refused(
            "",
            &[],
            &["store.s3_endpoint=https://s3"],
            "no http:// address",
        );
        refused("[server", &[], &[], "is not valid TOML");
    }

    #[test]
    fn an_open_door_is_refused_with_the_remedy() {
        for listen in ["0.0.0.0:4574", "[::]:4574", "192.0.2.1:80"] {
            refused(
                "",
                &[],
                &[&format!("server.listen={listen}")],
                "remedy: listen on 127.0.0.1",
            );
        }
        for listen in [
            "127.0.0.2:4574",
            "[::1]:0",
            "localhost:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            load("", &[], &[&format!("server.listen={listen}")]).expect(listen);
        }
    }

    #[test]
    fn every_key_reads_back_what_it_shows() {
        for key in KEYS {
            let mut config = Config::default();
            (key.set)(&mut config, &(key.show)(&Config::default())).expect(key.path);
            assert_eq!(config, Config::default(), "{}", key.path);
        }
    }

    #[test]
    fn an_s3_endpoint_needs_its_keys() {
        let endpoint = "store.s3_endpoint=http://127.0.0.1:9000";
        refused(
            "",
            &[],
            &[endpoint],
            "`store.s3_endpoint` is set without its keys",
        );
        let keys = ["store.s3_access_key_id=a", "store.s3_secret_access_key=b"];
        let all = [endpoint, keys[0], keys[1], "store.s3_path_style=false"];
        assert!(
            !load("", &[], &all)
                .expect("valid")
                .config
                .store
                .s3
                .path_style
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let set = [
            "store.s3_access_key_id=me",
            "store.s3_secret_access_key=hush",
        ];
        let loaded = load("", &[], &set).expect("valid");
        let secret = loaded
            .rows()
            .find(|row| row.name == "s3_secret_access_key")
            .expect("the key");
        assert_eq!(secret.value.as_str(), Some("(secret)"));
    }
}
