//! `bootlace demo`: the walkthrough.
use crate::exit::{Done, Failure};
use clap::Args;
#[derive(Debug, Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        Err(Failure::usage("demo is not wired"))
    }
}
