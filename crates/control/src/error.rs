use bootlace_store::{CommitError, IngestError, StoreError};
use bootlace_types::limits;

use crate::validation::Violations;

/// Why an operation was refused; one variant per exception of AWS that callers tell apart. The
/// texts are part of AWS's interface.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// `ValidationException`: members that break a constraint of the service model.
    #[error("{0}")]
    Validation(Violations),
    /// `InvalidParameterValueException`
    #[error("{0}")]
    InvalidParameter(String),
    /// `ResourceNotFoundException`
    #[error("{0}")]
    NotFound(String),
    /// `ResourceConflictException`
    #[error("{0}")]
    Conflict(String),
    /// `PreconditionFailedException`: the revision id is not the latest.
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the \
         GetFunction/GetAlias API to retrieve the latest Revision Id"
    )]
    StaleRevision,
    /// `AccessDeniedException`
    #[error("{0}")]
    AccessDenied(String),
    /// `CodeSigningConfigNotFoundException`
    #[error("{0}")]
    CodeSigningConfigNotFound(String),
    /// `CodeStorageExceededException`
    #[error("Code storage limit exceeded.")]
    CodeStorageExceeded,
    /// `RequestEntityTooLargeException`
    #[error("{0}")]
    TooLarge(String),
    /// `TooManyRequestsException`: too many writers of one document.
    #[error("Rate exceeded")]
    TooManyWriters,
    /// Part of AWS's interface that Bootlace does not have yet, by name.
    #[error("{0} is not built yet in Bootlace")]
    NotBuilt(&'static str),
    /// The store failed; an operator's matter.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// A stored document is not what was written, or a commit's outcome cannot be known.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IngestError> for ControlError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::UnzippedTooLarge { .. } => unzipped_too_large(),
            IngestError::Store(error) => Self::Store(error),
            IngestError::NotAZip | IngestError::Corrupt { .. } => {
                Self::InvalidParameter(COULD_NOT_UNZIP.into())
            }
            IngestError::Empty => {
                Self::InvalidParameter("Uploaded file must be a non-empty zip".into())
            }
            other => Self::InvalidParameter(format!("{COULD_NOT_UNZIP} ({other})")),
        }
    }
}

const COULD_NOT_UNZIP: &str =
    "Could not unzip uploaded file. Please check your file, then try to upload again.";

/// The refusal of code that, unpacked and with its layers, is over the limit.
pub(crate) fn unzipped_too_large() -> ControlError {
    let limit = limits::UNZIPPED_BYTES;
    ControlError::InvalidParameter(format!("Unzipped size must be smaller than {limit} bytes"))
}

/// What a commit that was not a conflict means for the caller.
pub(crate) fn commit_failed(error: CommitError) -> ControlError {
    match error {
        CommitError::Conflict(_) => ControlError::TooManyWriters,
        CommitError::Unavailable(error) => ControlError::Store(error),
        CommitError::TooLarge(what) => ControlError::InvalidParameter(format!(
            "The request would make a stored document larger than Bootlace allows: {what}"
        )),
        CommitError::Unknown => {
            ControlError::Internal("the outcome of the write is unknown".into())
        }
    }
}
