use std::io;

use rustls::{AlertDescription as Alert, CertificateError, Error};

/// Returns advice for a TLS error, as the end of a sentence that
/// begins with the error; empty if the error needs none.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            ": check that OTEL_EXPORTER_OTLP_CERTIFICATE contains the collector's CA"
        }
        // the collector refused the client
        Some(Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        )) => {
            ": set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE to a certificate that the collector accepts"
        }
        Some(Error::InvalidMessage(_)) => ": check that the collector uses TLS on that port",
        _ => "",
    }
}
