use bootlace_invoke::EnvironmentInfo;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Health {
    pub(crate) status: &'static str,
    pub(crate) version: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    pub(crate) status: &'static str,
    /// The sandbox driver's name.
    pub(crate) isolation: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Environments {
    pub(crate) environments: Vec<EnvironmentInfo>,
}
