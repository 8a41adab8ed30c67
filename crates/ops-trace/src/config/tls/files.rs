//! Certificates of the exporter's client: `OTEL_EXPORTER_OTLP_CERTIFICATE` and its variants, and `SSL_CERT_FILE`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::config::environment::{Environment, Warning, warn};
use crate::config::signal::Signal;

/// Maximum bytes of a certificate file; the bundles of operating systems have about 300 KB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Marker of a key with a passphrase, in both forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Reads the files. An invalid file is ignored, with a warning.
///
/// Certificates of both variables are trusted, instead of Mozilla's, which are trusted if neither is set.
pub(crate) fn certificates_of(
    env: &Environment,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> TlsConfig {
    let mut config = TlsConfig::builder();
    let roots = roots(env, signal, warnings);
    if !roots.is_empty() {
        let roots = roots.iter().map(owned);
        config = config.root_certs(RootCerts::Specific(Arc::new(roots.collect())));
    }
    config.client_cert(client(env, signal, warnings)).build()
}

fn roots(
    env: &Environment,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> Vec<CertificateDer<'static>> {
    let mut roots = Vec::new();
    let variables = [
        env.first(&signal.certificate),
        env.first(&["SSL_CERT_FILE"]),
    ];
    for (variable, path) in variables.into_iter().flatten() {
        match certificates(&path).and_then(checked_roots) {
            Ok(more) => roots.extend(more),
            Err(cause) => {
                let accepted = format!("a PEM file with CA certificates; {cause}");
                warn(warnings, variable, path, &accepted, "the file is ignored");
            }
        }
    }
    roots
}

fn checked_roots(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err("no valid certificate found; expected X.509 version 3".to_owned());
    }
    Ok(certificates)
}

/// Reads the client's certificate and key, and checks that they match: the TLS library panics if they do not.
fn client(env: &Environment, signal: &Signal, warnings: &mut Vec<Warning>) -> Option<ClientCert> {
    let (chain, key) = (
        env.first(&signal.client_certificate),
        env.first(&signal.client_key),
    );
    let ((chain_variable, chain), (key_variable, key)) = match (chain, key) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return None,
        (Some((variable, path)), None) => {
            let accepted = "a certificate together with OTEL_EXPORTER_OTLP_CLIENT_KEY";
            warn(warnings, variable, path, accepted, "no client certificate");
            return None;
        }
        (None, Some((variable, path))) => {
            let accepted = "a key together with OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
            warn(warnings, variable, path, accepted, "no client certificate");
            return None;
        }
    };
    let mut failed = |variable, path: &str, accepted: String| {
        let path = path.to_owned();
        warn(warnings, variable, path, &accepted, "no client certificate");
    };
    let certificates = match certificates(&chain) {
        Ok(certificates) => certificates,
        Err(cause) => {
            let accepted = format!("a PEM file with certificates; {cause}");
            failed(chain_variable, &chain, accepted);
            return None;
        }
    };
    match private_key(&key, &certificates) {
        Ok(private_key) => {
            let chain: Vec<_> = certificates.iter().map(owned).collect();
            Some(ClientCert::new_with_certs(&chain, private_key))
        }
        Err(cause) => {
            let accepted = format!("a PEM file with the private key of the certificate; {cause}");
            failed(key_variable, &key, accepted);
            None
        }
    }
}

fn private_key(
    path: &str,
    chain: &[CertificateDer<'static>],
) -> Result<PrivateKey<'static>, String> {
    let pem = read(path)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let is_encrypted = pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        match is_encrypted {
            true => "the key is encrypted; expected a key without a passphrase".to_owned(),
            false => cause(&error, "no private key found"),
        }
    })?;
    // the same provider that the client uses
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain.to_vec(), key)
        .map_err(|error| error.to_string())?;
    // the same key was parsed above
    PrivateKey::from_pem(&pem).map_err(|_| "cannot parse the file".to_owned())
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let nothing = "no certificate found";
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(nothing.to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(cause(&error, nothing)),
    }
}

/// Describes an error in a PEM file. The library's messages
/// contain lines of the file as numbers, and these may be a key.
fn cause(error: &pem::Error, nothing: &str) -> String {
    let text = match error {
        pem::Error::NoItemsFound => nothing,
        pem::Error::IllegalSectionStart { .. } | pem::Error::MissingSectionEnd { .. } => {
            "`-----BEGIN ..-----` or `-----END ..-----` is missing or not on a line of its own; check the line breaks"
        }
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        _ => "cannot parse the file",
    };
    text.to_owned()
}

/// Reads a regular file: a pipe or a device could block the start forever.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(Path::new(path)).map_err(text)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(text)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(text)?;
    Ok(bytes)
}

fn owned(certificate: &CertificateDer<'static>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}
