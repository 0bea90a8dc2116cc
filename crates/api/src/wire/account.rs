use bootlace_control::AccountSettings;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Settings {
    account_limit: AccountLimit,
    account_usage: AccountUsage,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    total_code_size: u64,
    code_size_unzipped: u64,
    code_size_zipped: u64,
    concurrent_executions: u32,
    unreserved_concurrent_executions: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountUsage {
    total_code_size: u64,
    function_count: u64,
}

impl Settings {
    pub(crate) fn of(settings: &AccountSettings) -> Self {
        Self {
            account_limit: AccountLimit {
                total_code_size: settings.total_code_size_limit,
                code_size_unzipped: settings.code_size_unzipped_limit,
                code_size_zipped: settings.code_size_zipped_limit,
                concurrent_executions: settings.concurrent_executions,
                unreserved_concurrent_executions: settings.unreserved_concurrent_executions,
            },
            account_usage: AccountUsage {
                total_code_size: settings.total_code_size,
                function_count: settings.function_count,
            },
        }
    }
}
