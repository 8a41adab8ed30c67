//! Names of a secret at the remote sources.

/// The longest accepted `aws_path`, in bytes; neither service takes longer names.
const MAX_PATH_BYTES: usize = 2048;

/// Names of one secret at the remote sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name at sources that are not AWS.
    pub(crate) path: String,
    pub(crate) aws: Option<AwsPath>,
}

/// Place of a secret at AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsPath {
    pub(crate) path: String,
    service: AwsService,
    pub(crate) field: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AwsService {
    Both,
    Ssm,
    SecretsManager,
}

impl Target {
    pub(crate) fn own_path(&self) -> Option<&str> {
        Some(&self.path)
    }

    /// Name at Parameter Store: as written, if a parameter can have such a name.
    pub(crate) fn ssm_name(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        (aws.service != AwsService::SecretsManager && possible_at_ssm(&aws.path))
            .then_some(aws.path.as_str())
    }

    /// First name at Secrets Manager: without the leading slash.
    pub(crate) fn sm_name(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        (aws.service != AwsService::Ssm).then(|| aws.path.trim_start_matches('/'))
    }

    /// Second name at Secrets Manager: as written, if that differs.
    pub(crate) fn sm_name_as_written(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        (aws.service != AwsService::Ssm && aws.path.starts_with('/')).then_some(aws.path.as_str())
    }
}

impl AwsPath {
    /// Reads `[ssm:|sm:]path[#json.key]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (place, field) = match text.split_once('#') {
            Some((_, "")) => return Err("nothing follows the `#`".into()),
            Some((place, field)) => (place, Some(field.to_owned())),
            None => (text, None),
        };
        let (service, path) = match place.split_once(':') {
            Some(("ssm", path)) => (AwsService::Ssm, path),
            Some(("sm", path)) => (AwsService::SecretsManager, path),
            Some(_) => {
                return Err(
                    "unknown prefix: accepted are `ssm:` and `sm:`; versions and ARNs are not supported".into(),
                );
            }
            None => (AwsService::Both, place),
        };
        let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
        let long = path.len() > MAX_PATH_BYTES;
        if path.trim_matches('/').is_empty() || long || !path.bytes().all(accepted) {
            return Err(format!(
                "expected a path like /service/stage/name, of at most {MAX_PATH_BYTES} letters, digits and /_+=.@-!"
            ));
        }
        if service == AwsService::Ssm && !possible_at_ssm(path) {
            return Err(
                "Parameter Store accepts letters, digits and /_.- only; a name that contains a `/` must start with one"
                    .into(),
            );
        }
        Ok(Self {
            path: path.to_owned(),
            service,
            field,
        })
    }
}

fn possible_at_ssm(path: &str) -> bool {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    (path.starts_with('/') || !path.contains('/')) && path.bytes().all(accepted)
}
