//! Settings of both services.

use std::time::Duration;

use crate::source::env::Environment;

/// Settings of both services.
pub(crate) struct AwsSettings {
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) metadata_endpoint: Option<String>,
    pub(crate) environment: Environment,
    pub(crate) deadline: Duration,
    /// AWS is queried because something hints at it, and skipped if it is unavailable.
    pub(crate) automatic: bool,
    pub(crate) ec2: bool,
}
