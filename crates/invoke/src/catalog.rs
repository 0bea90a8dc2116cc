//! The functions as the dispatcher sees them: a view of the store, kept by one task that follows it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bootlace_environment::{EnvironmentSpec, LogFormat};
use bootlace_store::record::{
    self, FunctionConfig, FunctionRecord, LastUpdate, PackageType, State,
};
use bootlace_store::{Change, Entry, Key, Rev, Store, StoreError};
use bootlace_tasks::TaskKind;
use bootlace_types::{Architecture, FunctionArn, Qualifier, Scope, limits};
use bytes::Bytes;
use tokio::sync::watch;

use crate::concurrency::{Account, Allowance};
use crate::fleet::{Fleet, Fleets};
use crate::request::InvokeError;
use crate::series::{Recorder, Rings};

pub(crate) const FOLLOW: TaskKind = TaskKind::vital("catalog");
const SHARDS: usize = 16;

/// One function at one moment. What outlives a change is behind an `Arc` of its own.
#[derive(Debug)]
pub(crate) struct Function {
    /// What is served; while an update is in progress this is what was before it.
    config: Arc<FunctionConfig>,
    pub(crate) readiness: Readiness,
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) recorder: Arc<Recorder>,
    /// The revision of the record that this was read from.
    rev: Rev,
    /// As text, without a qualifier and with `:$LATEST`.
    pub(crate) arn: Bytes,
    pub(crate) latest_arn: Bytes,
}

impl Function {
    pub(crate) fn version(&self) -> Arc<str> {
        Arc::clone(&self.fleet.spec.version)
    }
}

/// Whether a function can be invoked.
#[derive(Debug)]
pub(crate) enum Readiness {
    Ready,
    /// It will be something else soon.
    Pending,
    Never(InvokeError),
}

type Shard = HashMap<Box<str>, Vec<(Scope, Arc<Function>)>>;

/// All functions.
#[derive(Debug)]
pub(crate) struct Catalog {
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
    accounts: Mutex<HashMap<Scope, Arc<Account>>>,
    account_limit: u32,
    fleets: Arc<Fleets>,
    rings: Arc<Rings>,
    applied: watch::Sender<Rev>,
}

impl Catalog {
    pub(crate) fn new(account_limit: u32, fleets: Arc<Fleets>) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| RwLock::default()),
            accounts: Mutex::default(),
            account_limit,
            fleets,
            rings: Rings::new(limits::METRICS_FUNCTIONS),
            applied: watch::Sender::new(Rev(0)),
        }
    }

    pub(crate) fn find(&self, scope: &Scope, name: &str) -> Option<Arc<Function>> {
        let shard = self
            .shard(name)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let found = shard.get(name)?.iter().find(|(of, _)| of == scope);
        found.map(|(_, function)| Arc::clone(function))
    }

    /// The account's counters.
    pub(crate) fn account(&self, scope: &Scope) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(scope) {
            return Arc::clone(account);
        }
        let account = Arc::new(Account::new(self.account_limit));
        accounts.insert(scope.clone(), Arc::clone(&account));
        account
    }

    /// Invocations that run now, of every account.
    pub(crate) fn running(&self) -> u32 {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.values().map(|account| account.running()).sum()
    }

    /// Tells of every change that has been applied.
    pub(crate) fn applied(&self) -> watch::Receiver<Rev> {
        self.applied.subscribe()
    }

    /// Reads all functions; what is not there any more is forgotten. Gives the revision from
    /// which to follow.
    pub(crate) async fn load(&self, store: &Store) -> Result<Rev, StoreError> {
        let mut seen: Vec<Key> = Vec::new();
        let mut from = None;
        loop {
            let after = seen.last();
            let page = store
                .kv
                .scan(record::FUNCTIONS, after, limits::SCAN_PAGE_ENTRIES)
                .await?;
            // Later pages may be newer than the first; what changed between is seen again.
            from.get_or_insert(page.rev);
            for Entry { key, value, rev } in page.entries {
                self.apply(&key, Some(&value), rev);
                seen.push(key);
            }
            if !page.more {
                break;
            }
        }
        self.forget_others(&seen);
        let from = from.unwrap_or_default();
        self.applied.send_replace(from);
        Ok(from)
    }

    /// Follows the store for ever.
    pub(crate) async fn follow(self: Arc<Self>, store: Store, from: Rev) {
        let mut watch = store.kv.watch(record::FUNCTIONS, from);
        loop {
            if let Ok(changes) = watch.next().await {
                for Change { key, value, rev } in &changes {
                    self.apply(key, value.as_deref(), *rev);
                }
                self.applied.send_replace(watch.position());
                continue;
            }
            tracing::warn!("the catalog fell behind the store and is read anew");
            let from = loop {
                match self.load(&store).await {
                    Ok(from) => break from,
                    Err(error) => {
                        tracing::error!(%error, "the functions cannot be read");
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                }
            };
            watch = store.kv.watch(record::FUNCTIONS, from);
        }
    }

    fn apply(&self, key: &Key, value: Option<&[u8]>, rev: Rev) {
        let Some(arn) = record::function_of_key(key) else {
            tracing::error!(%key, "a function's key cannot be read");
            return;
        };
        let old = self.find(&arn.scope, &arn.name);
        if old.as_ref().is_some_and(|old| old.rev >= rev) {
            // A scan saw it already.
            return;
        }
        let Some(value) = value else {
            return self.remove(&arn);
        };
        match serde_json::from_slice::<FunctionRecord>(value) {
            Ok(record) => self.put(&arn, record, rev, old),
            Err(error) => tracing::error!(%key, %error, "a function's record cannot be read"),
        }
    }

    fn put(&self, arn: &FunctionArn, record: FunctionRecord, rev: Rev, old: Option<Arc<Function>>) {
        let FunctionArn { scope, name, .. } = arn;
        let allowance = match &old {
            Some(old) => Arc::clone(&old.allowance),
            None => Arc::new(Allowance::new(self.account(scope))),
        };
        let recorder = match &old {
            Some(old) => Arc::clone(&old.recorder),
            None => Recorder::new(&self.rings),
        };
        allowance.reserve(record.reserved_concurrency);
        let in_progress = record.latest.last_update == Some(LastUpdate::InProgress);
        let config = match &old {
            // The update is served when it is done.
            Some(old) if in_progress => Arc::clone(&old.config),
            _ => Arc::new(record.latest),
        };
        let fleet = match &old {
            Some(old) if same_environment(&old.config, &config) => Arc::clone(&old.fleet),
            _ => {
                let spec = environment_spec(arn, &config);
                Fleet::new(&self.fleets, spec, &config, Arc::clone(&recorder))
            }
        };
        let function = Arc::new(Function {
            readiness: readiness(&config),
            config,
            rev,
            allowance,
            arn: Bytes::from(arn.to_string()),
            latest_arn: Bytes::from(
                FunctionArn {
                    qualifier: Some(Qualifier::Latest),
                    ..arn.clone()
                }
                .to_string(),
            ),
            fleet: Arc::clone(&fleet),
            recorder,
        });
        let mut shard = self
            .shard(name)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let namesakes = shard.entry(name.clone()).or_default();
        match namesakes.iter_mut().find(|(of, _)| of == scope) {
            Some((_, slot)) => *slot = function,
            None => namesakes.push((scope.clone(), function)),
        }
        drop(shard);
        if let Some(old) = old.filter(|old| !Arc::ptr_eq(&old.fleet, &fleet)) {
            old.fleet.retire();
        }
    }

    fn remove(&self, arn: &FunctionArn) {
        let mut shard = self
            .shard(&arn.name)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(namesakes) = shard.get_mut(&arn.name) else {
            return;
        };
        let Some(index) = namesakes.iter().position(|(scope, _)| *scope == arn.scope) else {
            return;
        };
        let (_, function) = namesakes.swap_remove(index);
        if namesakes.is_empty() {
            shard.remove(&arn.name);
        }
        drop(shard);
        function.allowance.reserve(None);
        function.fleet.retire();
    }

    fn forget_others(&self, keys: &[Key]) {
        let keep: std::collections::HashSet<FunctionArn> =
            keys.iter().filter_map(record::function_of_key).collect();
        let mut gone = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            for (name, namesakes) in shard.iter() {
                let arns = namesakes
                    .iter()
                    .map(|(scope, _)| FunctionArn::new(scope, name, None));
                gone.extend(arns.filter(|arn| !keep.contains(arn)));
            }
        }
        gone.iter().for_each(|arn| self.remove(arn));
    }

    fn shard(&self, name: &str) -> &RwLock<Shard> {
        let hash = self.hasher.hash_one(name);
        // The remainder is below SHARDS.
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()]
    }
}

/// Whether environments of the one may serve the other: all but the states and the description.
fn same_environment(one: &FunctionConfig, other: &FunctionConfig) -> bool {
    let neutral = |config: &FunctionConfig| FunctionConfig {
        revision_id: one.revision_id,
        description: String::new(),
        state: State::Active,
        last_update: None,
        ..config.clone()
    };
    neutral(one) == neutral(other)
}

fn readiness(config: &FunctionConfig) -> Readiness {
    if config.package_type == PackageType::Image {
        return Readiness::Never(InvokeError::Unsupported {
            what: "the package type Image",
        });
    }
    match &config.state {
        State::Active => {}
        State::Pending => return Readiness::Pending,
        State::Inactive => return Readiness::Never(InvokeError::NotReady { state: "Inactive" }),
        State::Failed { .. } => {
            return Readiness::Never(InvokeError::NotReady { state: "Failed" });
        }
    }
    let architecture = config.architecture;
    match config.runtime {
        Some(runtime) if !runtime.is_provided() => {
            Readiness::Never(InvokeError::RuntimeNotInstalled { runtime })
        }
        None => Readiness::Never(InvokeError::Unsupported {
            what: "a function without a runtime",
        }),
        Some(_) if Architecture::host() != Some(architecture) => {
            Readiness::Never(InvokeError::WrongArchitecture { architecture })
        }
        Some(_) => Readiness::Ready,
    }
}

fn environment_spec(arn: &FunctionArn, config: &FunctionConfig) -> EnvironmentSpec {
    EnvironmentSpec {
        function: arn.clone(),
        version: "$LATEST".into(),
        handler: config.handler.clone().unwrap_or_default(),
        memory_mb: config.memory_mb,
        tmp_mb: config.ephemeral_storage_mb,
        timeout: std::time::Duration::from_secs(config.timeout_s.into()),
        variables: config.environment.clone().unwrap_or_default(),
        log_group: config.logging.group.clone(),
        log_format: LogFormat::of(
            &config.logging.format,
            config.logging.application_level.as_deref(),
            config.logging.system_level.as_deref(),
        ),
    }
}
