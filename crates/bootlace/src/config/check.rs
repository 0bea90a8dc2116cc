//! The rules between keys.

use super::Config;

/// Nothing that a server could start with but should not.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let listen = config.server.listen;
    if !listen.ip().to_canonical().is_loopback() {
        return Err(format!(
            "`server.listen`: {listen} can be reached from other machines, and with `auth.mode` none \
             everybody who reaches it may run code here; remedy: listen on 127.0.0.1 and let clients come \
             through an SSH tunnel or a proxy that authenticates them (its public name goes into \
             `server.allowed_hosts`)"
        ));
    }
    let s3 = &config.store.s3;
    let keys = [&s3.access_key_id, &s3.secret_access_key];
    if !s3.endpoint.is_empty() && keys.iter().any(|key| key.is_empty()) {
        return Err(
            "`store.s3_endpoint` is set without its keys; remedy: set `store.s3_access_key_id` \
                    and `store.s3_secret_access_key` (any value, if the endpoint checks none)"
                .to_owned(),
        );
    }
    Ok(())
}
