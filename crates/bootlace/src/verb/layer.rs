//! `bootlace layer`: publish and list.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Client, Connection, encode};
use crate::exit::{Done, Failure};
use crate::output::{self, Format};
use crate::package;

#[derive(Debug, Subcommand)]
pub(crate) enum Layer {
    /// Publish a new version of a layer; prints its ARN
    Publish(Publish),
    /// List layers with their newest version, or the versions of one
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Name of the layer
    name: String,
    /// A zip file, or a directory that is zipped with its modes and links
    #[arg(long, value_name = "FILE|DIR")]
    zip: PathBuf,
    /// What it is
    #[arg(long)]
    description: Option<String>,
    /// A runtime it is made for; may be repeated
    #[arg(long, value_name = "RUNTIME")]
    compatible_runtime: Vec<String>,
    /// An architecture it is made for; may be repeated
    #[arg(long, value_name = "ARCH")]
    compatible_architecture: Vec<String>,
    /// How to print the answer
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only the versions of this layer
    name: Option<String>,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

impl Layer {
    pub(crate) async fn run(self) -> Result<Done, Failure> {
        match self {
            Self::Publish(verb) => verb.run().await,
            Self::List(verb) => verb.run().await,
        }
    }
}

impl Publish {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let zip = package::read(&self.zip)?;
        let mut document = json!({ "Content": { "ZipFile": BASE64.encode(zip) } });
        if let Some(description) = self.description {
            document["Description"] = description.into();
        }
        if !self.compatible_runtime.is_empty() {
            document["CompatibleRuntimes"] = self.compatible_runtime.into();
        }
        if !self.compatible_architecture.is_empty() {
            document["CompatibleArchitectures"] = self.compatible_architecture.into();
        }
        let answer = publish(&client, &self.name, &document).await?;
        match self.output {
            Format::Text => output::line(member(&answer, "LayerVersionArn"))?,
            Format::Json => output::json(&answer)?,
        }
        Ok(Done::Well)
    }
}

/// `PublishLayerVersion`.
pub(crate) async fn publish(
    client: &Client,
    name: &str,
    document: &Value,
) -> Result<Value, Failure> {
    let path = format!("/2018-10-31/layers/{}/versions", encode(name));
    client.json(Method::POST, &path, Some(document)).await
}

impl List {
    async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let (items, versions) = match &self.name {
            Some(name) => {
                let path = format!("/2018-10-31/layers/{}/versions", encode(name));
                let items = client.list(&path, "LayerVersions").await?;
                (items.clone(), items)
            }
            None => {
                let items = client.list("/2018-10-31/layers", "Layers").await?;
                let newest = items
                    .iter()
                    .map(|item| item["LatestMatchingVersion"].clone())
                    .collect();
                (items, newest)
            }
        };
        match self.output {
            Format::Json => output::json(&Value::Array(items))?,
            Format::Text => {
                let rows: Vec<_> = versions
                    .iter()
                    .map(|version| {
                        [
                            version["Version"].to_string(),
                            member(version, "CreatedDate").to_owned(),
                            member(version, "LayerVersionArn").to_owned(),
                        ]
                    })
                    .collect();
                output::table(["VERSION", "CREATED", "ARN"], &rows)?;
            }
        }
        Ok(Done::Well)
    }
}

/// A text of an answer, or nothing.
pub(crate) fn member<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or("")
}
