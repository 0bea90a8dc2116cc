//! `bootlace function`: create, update, list, delete.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bootlace_types::clock;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::layer::member;
use crate::client::{Client, Connection, encode};
use crate::exit::{Done, Failure};
use crate::output::{self, Format};
use crate::package;

/// Any role is accepted; this one says that nobody assumes it.
pub(crate) const PLACEHOLDER_ROLE: &str = "arn:aws:iam::000000000000:role/bootlace";
/// How long a function may take to become usable.
const SETTLE: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum Function {
    /// Create a function and wait until it can be invoked; prints its ARN
    Create(Create),
    /// Change a function's code, configuration or both, and wait until it is done
    Update(Update),
    /// List functions
    List(List),
    /// Delete a function, or one published version
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the function
    name: String,
    /// A zip file, or a directory that is zipped with its modes and links
    #[arg(long, value_name = "FILE|DIR")]
    zip: PathBuf,
    /// Instruction set: x86_64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// How to print the answer
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Name of the function
    name: String,
    /// New code: a zip file, or a directory that is zipped with its modes and links
    #[arg(long, value_name = "FILE|DIR")]
    zip: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// How to print the answer
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name of the function
    name: String,
    /// Only this published version
    #[arg(long, value_name = "VERSION")]
    qualifier: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What `create` and `update` can both set.
#[derive(Debug, Args)]
struct Settings {
    /// Runtime, such as provided.al2023
    #[arg(long)]
    runtime: Option<String>,
    /// Handler, given to the runtime as _HANDLER
    #[arg(long)]
    handler: Option<String>,
    /// ARN of a layer version; may be repeated, later ones lie over earlier ones
    #[arg(long, value_name = "ARN")]
    layer: Vec<String>,
    /// Environment variable; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    environment: Vec<(String, String)>,
    /// Timeout of one invocation, seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Memory, MB
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// Size of /tmp, MB
    #[arg(long, value_name = "MB")]
    ephemeral_storage: Option<u32>,
    /// Execution role
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// What it is
    #[arg(long)]
    description: Option<String>,
}

impl Function {
    pub(crate) async fn run(self) -> Result<Done, Failure> {
        match self {
            Self::Create(verb) => verb.run().await,
            Self::Update(verb) => verb.run().await,
            Self::List(verb) => verb.run().await,
            Self::Delete(verb) => verb.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let zip = package::read(&self.zip)?;
        let mut document = Value::Object(self.settings.members());
        document["FunctionName"] = self.name.as_str().into();
        document["Code"] = json!({ "ZipFile": BASE64.encode(zip) });
        if document.get("Role").is_none() {
            document["Role"] = PLACEHOLDER_ROLE.into();
        }
        let host = bootlace_types::Architecture::host().map(|host| host.to_string());
        if let Some(architecture) = self.architecture.or(host) {
            document["Architectures"] = json!([architecture]);
        }
        print(self.output, &create(&client, &document).await?)
    }
}

/// `CreateFunction`, and waiting until the function can be invoked.
pub(crate) async fn create(client: &Client, document: &Value) -> Result<Value, Failure> {
    let answer = client
        .json(Method::POST, "/2015-03-31/functions", Some(document))
        .await?;
    settled(client, member(&answer, "FunctionName")).await
}

impl Update {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let members = self.settings.members();
        if members.is_empty() && self.zip.is_none() {
            return Err(Failure::usage(
                "nothing to update; give --zip or a setting to change",
            ));
        }
        let path = format!("/2015-03-31/functions/{}", encode(&self.name));
        let mut answer = Value::Null;
        if !members.is_empty() {
            let document = Value::Object(members);
            client
                .json(
                    Method::PUT,
                    &format!("{path}/configuration"),
                    Some(&document),
                )
                .await?;
            answer = settled(&client, &self.name).await?;
        }
        if let Some(zip) = &self.zip {
            let document = json!({ "ZipFile": BASE64.encode(package::read(zip)?) });
            client
                .json(Method::PUT, &format!("{path}/code"), Some(&document))
                .await?;
            answer = settled(&client, &self.name).await?;
        }
        print(self.output, &answer)
    }
}

impl List {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let items = client.list("/2015-03-31/functions", "Functions").await?;
        match self.output {
            Format::Json => output::json(&Value::Array(items))?,
            Format::Text => {
                let cell = |item: &Value, name| member(item, name).to_owned();
                let rows: Vec<_> = items
                    .iter()
                    .map(|item| {
                        ["FunctionName", "Runtime", "LastModified"].map(|name| cell(item, name))
                    })
                    .collect();
                output::table(["NAME", "RUNTIME", "MODIFIED"], &rows)?;
            }
        }
        Ok(Done::Well)
    }
}

impl Delete {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let mut path = format!("/2015-03-31/functions/{}", encode(&self.name));
        if let Some(qualifier) = &self.qualifier {
            path.push_str(&format!("?Qualifier={}", encode(qualifier)));
        }
        client.json(Method::DELETE, &path, None).await?;
        Ok(Done::Well)
    }
}

impl Settings {
    /// The members of a request that were given.
    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        put("Runtime", text(&self.runtime));
        put("Handler", text(&self.handler));
        put("Role", text(&self.role));
        put("Description", text(&self.description));
        put("Timeout", self.timeout.map(Value::from));
        put("MemorySize", self.memory.map(Value::from));
        put(
            "EphemeralStorage",
            self.ephemeral_storage.map(|size| json!({ "Size": size })),
        );
        put(
            "Layers",
            (!self.layer.is_empty()).then(|| json!(self.layer)),
        );
        let variables: Map<String, Value> = self
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        put(
            "Environment",
            (!variables.is_empty()).then(|| json!({ "Variables": variables })),
        );
        members
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Asks until neither creation nor an update is under way, and gives the configuration.
async fn settled(client: &Client, name: &str) -> Result<Value, Failure> {
    let path = format!("/2015-03-31/functions/{}/configuration", encode(name));
    let start = clock::now();
    let mut pause = Duration::from_millis(5);
    loop {
        let answer = client.json(Method::GET, &path, None).await?;
        let (state, update) = (
            member(&answer, "State"),
            member(&answer, "LastUpdateStatus"),
        );
        if state == "Failed" || update == "Failed" {
            let why = [
                member(&answer, "StateReason"),
                member(&answer, "LastUpdateStatusReason"),
            ]
            .concat();
            return Err(anyhow!("the function {name} cannot be used: {why}").into());
        }
        if state != "Pending" && update != "InProgress" {
            return Ok(answer);
        }
        if start.elapsed() > SETTLE {
            return Err(anyhow!(
                "the function {name} is still {state} after {} s",
                SETTLE.as_secs()
            )
            .into());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

fn print(format: Format, answer: &Value) -> Result<Done, Failure> {
    match format {
        Format::Text => output::line(member(answer, "FunctionArn"))?,
        Format::Json => output::json(answer)?,
    }
    Ok(Done::Well)
}
