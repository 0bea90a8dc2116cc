use bootlace_types::{Scope, limits};

use crate::ControlPlane;

/// GetAccountSettings: limits and usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountSettings {
    pub total_code_size_limit: u64,
    pub code_size_unzipped_limit: u64,
    pub code_size_zipped_limit: u64,
    pub concurrent_executions: u32,
    pub unreserved_concurrent_executions: u32,
    pub total_code_size: u64,
    pub function_count: u64,
}

impl ControlPlane {
    /// Limits and usage of the caller's account in its region.
    #[must_use]
    pub fn get_account_settings(&self, scope: &Scope) -> AccountSettings {
        let used = self.usage.of(scope);
        AccountSettings {
            total_code_size_limit: self.options.code_storage_bytes,
            code_size_unzipped_limit: limits::UNZIPPED_BYTES,
            code_size_zipped_limit: limits::ZIP_DIRECT_BYTES,
            concurrent_executions: self.options.account_concurrency,
            // No operation that reserves concurrency is built, so all of it is unreserved.
            unreserved_concurrent_executions: self.options.account_concurrency,
            total_code_size: used.code_bytes,
            function_count: used.functions,
        }
    }
}
