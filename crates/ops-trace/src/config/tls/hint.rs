use std::io;

use rustls::{AlertDescription as Alert, CertificateError, Error};

/// Returns where to look if TLS failed, as the end of a sentence that begins with the error; empty if that says it all.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            ": is the collector's CA in OTEL_EXPORTER_OTLP_CERTIFICATE?"
        }
        // the collector refused us
        Some(Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        )) => ": is the client certificate that it wants in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE?",
        Some(Error::InvalidMessage(_)) => ": does the collector speak TLS on that port?",
        _ => "",
    }
}
