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
