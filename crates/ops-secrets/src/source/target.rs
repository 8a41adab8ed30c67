//! Names of a secret at the remote sources.

/// Maximum length of an `aws_path`, in bytes; neither service accepts longer names.
const MAX_PATH_BYTES: usize = 2048;

/// Names of one secret at the remote sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name at sources other than AWS.
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

    /// Returns the name at Parameter Store: as written, if a parameter can have such a name.
    pub(crate) fn ssm_name(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        let possible = match aws.service {
            AwsService::Ssm => true,
            AwsService::Both => possible_at_ssm(&aws.path),
            AwsService::SecretsManager => false,
        };
        possible.then_some(aws.path.as_str())
    }

    /// Returns the first name at Secrets Manager: without the leading slash.
    pub(crate) fn sm_name(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        (aws.service != AwsService::Ssm).then(|| aws.path.trim_start_matches('/'))
    }

    /// Returns the second name at Secrets Manager: as written, if that differs.
    pub(crate) fn sm_name_as_written(&self) -> Option<&str> {
        let aws = self.aws.as_ref()?;
        (aws.service != AwsService::Ssm && aws.path.starts_with('/')).then_some(aws.path.as_str())
    }
}

impl AwsPath {
    /// Parses `[ssm:|sm:]path[?version][#json.key]` or `arn:…[?version][#json.key]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (place, field) = match text.split_once('#') {
            Some((_, "")) => return Err("expected a field name after `#`".into()),
            Some((place, field)) => (place, Some(field.to_owned())),
            None => (text, None),
        };
        let (place, version) = match place.split_once('?') {
            Some((place, version)) => (place, Some(version)),
            None => (place, None),
        };
        if place.len() > MAX_PATH_BYTES {
            return Err(format!("expected at most {MAX_PATH_BYTES} bytes"));
        }
        let (service, path) = match place.split_once(':') {
            Some(("arn", _)) => (service_of_arn(place)?, place),
            Some(("ssm", path)) => (AwsService::Ssm, path),
            Some(("sm", path)) => (AwsService::SecretsManager, path),
            Some(_) => {
                return Err(
                    "unknown prefix: expected `ssm:`, `sm:` or an ARN; append a version as `?version=3`".into(),
                );
            }
            None => (AwsService::Both, place),
        };
        if !path.starts_with("arn:") {
            check_path(service, path)?;
        } else if service_of_arn(path)? != service {
            return Err("the ARN belongs to a different service than its prefix".into());
        }
        let path = match version {
            None => path.to_owned(),
            Some(version) => {
                check_version(service, version)?;
                format!("{path}?{version}")
            }
        };
        Ok(Self {
            path,
            service,
            field,
        })
    }
}

/// Returns whether names at AWS may contain this byte.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte)
}

fn check_path(service: AwsService, path: &str) -> Result<(), String> {
    if path.trim_matches('/').is_empty() || !path.bytes().all(is_of_a_name) {
        return Err(format!(
            "expected a path such as /service/stage/name, of at most {MAX_PATH_BYTES} letters, digits and /_+=.@-!, or an ARN; append a version as `?version=3`"
        ));
    }
    if service == AwsService::Ssm && !possible_at_ssm(path) {
        return Err(
            "Parameter Store accepts only letters, digits and /_.-; a name that contains a `/` must start with one"
                .into(),
        );
    }
    Ok(())
}

/// Checks `arn:partition:service:region:account:resource` and returns its service.
fn service_of_arn(arn: &str) -> Result<AwsService, String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else {
        return Err(
            "expected an ARN with six parts, as in arn:aws:ssm:us-east-1:123456789012:parameter/name".into(),
        );
    };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if !partition.starts_with("aws") || !is_region(region) || !is_account {
        return Err("the ARN needs a partition, a region and an account of 12 digits".into());
    }
    let named = |prefix: &str| {
        let name = resource.strip_prefix(prefix);
        name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_of_a_name))
    };
    match service {
        "ssm" if named("parameter/") => Ok(AwsService::Ssm),
        "secretsmanager" if named("secret:") => Ok(AwsService::SecretsManager),
        _ => Err("expected the ARN of a parameter (ssm, `parameter/name`) or of a secret (secretsmanager, `secret:name`)".into()),
    }
}

fn check_version(service: AwsService, version: &str) -> Result<(), String> {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let (kind, value) = version.split_once('=').unwrap_or((version, ""));
    let is_word = (1..=256).contains(&value.len()) && value.bytes().all(accepted);
    let is_number = value.len() <= 18 && value.bytes().all(|byte| byte.is_ascii_digit());
    match (service, kind) {
        (AwsService::Both, _) => {
            Err("a version needs the prefix `ssm:` or `sm:`: the two services name versions differently".into())
        }
        (AwsService::Ssm, "version") if is_word && is_number => Ok(()),
        (AwsService::Ssm, "label") if is_word && !is_number => Ok(()),
        (AwsService::SecretsManager, "stage" | "version") if is_word => Ok(()),
        (AwsService::Ssm, _) => {
            Err("expected `?version=` with a number, or `?label=` with a label".into())
        }
        (AwsService::SecretsManager, _) => {
            Err("expected `?stage=` with a stage such as AWSPREVIOUS, or `?version=` with a version id".into())
        }
    }
}

/// Returns whether a text may be a region name.
pub(crate) fn is_region(text: &str) -> bool {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(accepted)
}

fn possible_at_ssm(path: &str) -> bool {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    (path.starts_with('/') || !path.contains('/')) && path.bytes().all(accepted)
}

/// Parts of a name that is requested from a service.
#[cfg(any(feature = "aws", feature = "aws-agent"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pinned<'a> {
    /// Name or ARN without the version.
    pub(crate) id: &'a str,
    /// Kind and value of a version: `stage`, `version` or `label`.
    pub(crate) version: Option<(&'a str, &'a str)>,
    /// Region of an ARN.
    #[cfg(feature = "aws")]
    pub(crate) region: Option<&'a str>,
}

#[cfg(any(feature = "aws", feature = "aws-agent"))]
impl<'a> Pinned<'a> {
    /// Splits a name that [`AwsPath::parse`] has accepted.
    pub(crate) fn of(name: &'a str) -> Self {
        let (id, version) = match name.split_once('?') {
            Some((id, version)) => (id, version.split_once('=')),
            None => (name, None),
        };
        Self {
            id,
            version,
            #[cfg(feature = "aws")]
            region: match id.starts_with("arn:") {
                true => id.split(':').nth(3),
                false => None,
            },
        }
    }

    /// Returns the region of an ARN if it is not the client's own.
    #[cfg(feature = "aws")]
    pub(crate) fn elsewhere(&self, own: Option<&str>) -> Option<&'a str> {
        self.region.filter(|region| Some(*region) != own)
    }

    /// Returns the value of a version of this kind.
    #[cfg(feature = "secretsmanager")]
    pub(crate) fn version(&self, kind: &str) -> Option<&'a str> {
        let (found, value) = self.version?;
        (found == kind).then_some(value)
    }
}
