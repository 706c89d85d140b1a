//! What the failure of a TLS connection says, in a sentence.
//!
//! `rustls` and `webpki` write much of theirs with `Debug`, which the static binary leaves out (cross/README.md): nothing here
//! is their text where that has such a part.

use super::trust::OtherKey;
use futures_rustls::pki_types::{ServerName, UnixTime};
use futures_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
};
use std::io;

/// What a failure says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The accelerator is not to be trusted.
    Untrusted(String),
    /// It does not want this device.
    Denied(&'static str),
    /// What answers speaks no TLS.
    NoTls,
    /// TLS ended, for a reason that may pass.
    Broken(String),
    /// Nothing of this: the link, say.
    Other,
}

/// Judges an error of a connection.
pub fn verdict(error: &io::Error) -> Verdict {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(error)) => Verdict::Untrusted(certificate(error)),
        Some(Error::NoCertificatesPresented) => {
            Verdict::Untrusted("it shows no certificate".to_owned())
        }
        Some(
            Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13,
            ),
        ) => Verdict::Untrusted("it does not speak TLS 1.3".to_owned()),
        Some(
            Error::AlertReceived(AlertDescription::HandshakeFailure) | Error::PeerIncompatible(_),
        ) => Verdict::Untrusted(
            "it does not speak TLS 1.3 with TLS_CHACHA20_POLY1305_SHA256 and secp256r1".to_owned(),
        ),
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::CertificateRequired => {
                Verdict::Denied("it wants a client certificate; give one with --cert and --key")
            }
            AlertDescription::CertificateExpired => {
                Verdict::Denied("this device's certificate is not valid now; renew it")
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => Verdict::Denied(
                "it does not take this device's certificate; is it from the CA that the accelerator \
                 has in --tls-client-ca?",
            ),
            other => {
                let number = u8::from(*other);
                Verdict::Broken(format!("it says TLS alert {number} (RFC 8446, section 6)"))
            }
        },
        Some(Error::InvalidMessage(_)) => Verdict::NoTls,
        Some(
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_),
        ) => Verdict::Broken("it breaks the rules of TLS".to_owned()),
        _ => Verdict::Other,
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "no CA that is trusted here has issued its certificate; --ca names another CA, --pin a key"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate was good until {}, and the clock of this device says {}",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is good from {} on, and the clock of this device says {}; set the clock, or use \
             --pin, which needs none",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = match expected {
                ServerName::DnsName(name) => name.as_ref().to_owned(),
                ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
                _ => String::new(),
            };
            match &*presented.join(", ") {
                "" => format!("its certificate is not for {expected}"),
                names => format!("its certificate is for {names}, not for {expected}"),
            }
        }
        CertificateError::Other(error) => match error.0.downcast_ref::<OtherKey>() {
            Some(other) => other.to_string(),
            None => format!("its certificate is not right: {}", path(error)),
        },
        CertificateError::BadEncoding => {
            "its certificate is not right: it is damaged, or no X.509 version 3".to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is not right: the signature is of another key".to_owned()
        }
        CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not right: it may not be used by servers".to_owned()
        }
        CertificateError::UnhandledCriticalExtension => {
            "its certificate is not right: it demands something that is not understood here".to_owned()
        }
        _ => "its certificate is not right: it is signed in a way that is not understood here".to_owned(),
    }
}

/// What is wrong on the way from a certificate to its CA.
fn path(error: &OtherError) -> &'static str {
    match error.0.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::CaUsedAsEndEntity) => {
            "it is that of a CA; let the CA issue one for the accelerator, or use --pin"
        }
        Some(webpki::Error::EndEntityUsedAsCa | webpki::Error::PathLenConstraintViolated) => {
            "what has issued it may not issue certificates"
        }
        Some(webpki::Error::NameConstraintViolation) => {
            "its CA may not issue certificates for such a name"
        }
        _ => "the way from it to its CA can't be followed",
    }
}

/// A day, as people write it.
fn date(time: UnixTime) -> String {
    // Days since 0000-03-01, so that a leap day ends its year.
    let days = time.as_secs() / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    format!("{year}-{month:02}-{of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_are_written() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_564_800, "2026-11-25"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(date(time), expected);
        }
    }
}
