//! What an environment says about itself: each thing the machine decided, as a platform event.

use std::sync::atomic::Ordering;

use bootlace_types::{RequestId, clock};
use bytes::Bytes;

use crate::environment::{Environment, micros};
use crate::lifecycle::{InitReport, InitRuntimeDone, Party, Phase, Report, RuntimeDone, State};
use crate::platform_event::{
    End, InitMetrics, InitializationType, Metrics, PlatformEvent, RuntimeMetrics, Span, Tracing,
};
use crate::runtime_event::RuntimeEvent;

impl Environment {
    /// Initialization begins.
    pub(crate) fn init_starts(&self) {
        let phase = self.with_lifecycle(|machine| match machine.state() {
            State::Invoking(_) => Phase::Invoke,
            _ => Phase::Init,
        });
        self.log.open_subscriptions();
        self.log.platform(|| PlatformEvent::InitStart {
            initialization_type: InitializationType::OnDemand,
            phase,
            function_name: &self.spec.function.name,
            function_version: &self.spec.version,
        });
    }

    /// The runtime's part of it is over.
    pub(crate) fn runtime_initialized(&self, done: &InitRuntimeDone) {
        self.log.platform(|| PlatformEvent::InitRuntimeDone {
            initialization_type: InitializationType::OnDemand,
            phase: done.phase,
            end: End::of(done.failure.as_ref()),
        });
    }

    /// All of it is over; `parties` are the extensions as they stand now.
    pub(crate) fn initialized(&self, init: &InitReport, parties: &[Party]) {
        for party in parties {
            self.log.platform(|| PlatformEvent::Extension {
                name: &party.name,
                state: party.state,
                events: party.events.clone(),
                error_type: party.error_type.as_deref(),
            });
        }
        self.log.platform(|| PlatformEvent::InitReport {
            initialization_type: InitializationType::OnDemand,
            phase: init.phase,
            end: End::of(init.failure.as_ref()),
            metrics: InitMetrics {
                duration: init.duration,
            },
        });
        self.log.close_subscriptions();
        if init.failure.is_none() && init.phase == Phase::Init {
            self.init_us.store(micros(init.duration), Ordering::Relaxed);
        }
    }

    pub(crate) fn begins(&self, id: RequestId, tail: bool, event: Option<&RuntimeEvent>) {
        self.log.begin(id, tail, || PlatformEvent::Start {
            request_id: id,
            function_arn: &self.spec.function,
            version: &self.spec.version,
            tracing: event.and_then(tracing),
            tenant_id: event.and_then(RuntimeEvent::tenant_id),
        });
    }

    /// The runtime's part of the invocation is over.
    pub(crate) fn runtime_done(&self, done: &RuntimeDone, event: Option<&RuntimeEvent>) {
        self.log.platform(|| {
            let now = clock::wall();
            let delivered = now.checked_sub(done.duration).unwrap_or(now);
            PlatformEvent::RuntimeDone {
                request_id: done.request_id,
                end: match &done.failure {
                    Some(failure) => End::of(Some(failure)),
                    None => End::of_answer(done.error_type.as_deref()),
                },
                metrics: Some(RuntimeMetrics {
                    duration: done.duration,
                    produced_bytes: done.produced.map(|produced| produced.bytes),
                }),
                spans: Span::of_runtime(delivered, done.produced, done.overhead),
                tracing: event.and_then(tracing),
            }
        });
    }

    /// The invocation is over; gives the tail of its log if one was kept.
    pub(crate) fn report(&self, report: &Report, event: Option<&RuntimeEvent>) -> Option<Bytes> {
        if self.peak.load(Ordering::Relaxed) == 0 {
            self.sample();
        }
        let request_id = report.request_id;
        let fault = report.failure.as_ref();
        let fault = fault.map(|failure| format!("RequestId: {request_id} Error: {failure}"));
        if let Some(fault) = &fault {
            self.log.platform(|| PlatformEvent::Fault(fault));
        }
        self.log.finish(|| {
            let peak = self.peak.load(Ordering::Relaxed);
            let memory_mb = self.spec.memory_mb;
            let overhead = report.extension_overhead.into_iter();
            let report = PlatformEvent::Report {
                request_id,
                end: match &report.failure {
                    Some(failure) => End::of(Some(failure)),
                    None => End::of_answer(report.error_type.as_deref()),
                },
                metrics: Metrics::new(report.duration, report.init, memory_mb, peak),
                spans: overhead
                    .map(|overhead| Span::of_extensions(clock::wall(), overhead))
                    .collect(),
                tracing: event.and_then(tracing),
            };
            [PlatformEvent::End { request_id }, report]
        })
    }
}

fn tracing(event: &RuntimeEvent) -> Option<Tracing<'_>> {
    Tracing::of(&event.trace_id)
}
