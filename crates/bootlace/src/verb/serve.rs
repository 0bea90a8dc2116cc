//! `bootlace serve`: the server in the foreground.

use clap::Args;

use crate::config::ConfigOptions;
use crate::exit::{Done, Failure};
use crate::server::{self, Server};
use crate::signals::Signals;
use crate::{output, telemetry};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: ConfigOptions,
}

impl Serve {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        let config = self.options.load()?.config;
        telemetry::start_log(&config.server.log)?;
        let runtime = server::runtime(config.server.workers)?;
        let served = runtime.block_on(async move {
            // Before anything that would have to be tidied up after a signal.
            let mut signals = Signals::install()?;
            let server = tokio::select! {
                server = Server::start(config) => server?,
                _ = signals.next() => return Err(Failure::Interrupted),
            };
            output::line(format_args!("listening on http://{}", server.address()))?;
            let name = signals.next().await;
            tracing::info!("{name}: running invocations may finish; a second signal ends them");
            tokio::select! {
                () = server.stop() => Ok(Done::Well),
                _ = signals.next() => Err(Failure::Interrupted),
            }
        });
        // A thread that still blocks must not keep the process.
        runtime.shutdown_background();
        served
    }
}
