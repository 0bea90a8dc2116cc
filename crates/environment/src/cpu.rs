//! How much of the processor a function gets: by its memory size, as on AWS.

use bootlace_sandbox::CpuShare;
use bootlace_types::limits;

/// Short, so that a small share does not stand still for long at a time.
const PERIOD_US: u64 = 20_000;

/// While it initializes: as much as any function may have.
pub(crate) fn burst() -> CpuShare {
    of(limits::MEMORY_MB.end().to_owned())
}

/// From then on.
pub(crate) fn of(memory_mb: u32) -> CpuShare {
    CpuShare {
        quota_us: PERIOD_US * u64::from(memory_mb) / u64::from(limits::VCPU_MB),
        period_us: PERIOD_US,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_is_so_much_memory() {
        assert_eq!(of(limits::VCPU_MB).quota_us, PERIOD_US);
        assert_eq!(of(128).quota_us, 1_447);
        assert!(burst().quota_us > 5 * PERIOD_US);
    }
}
