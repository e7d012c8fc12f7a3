//! The settings of feature `tls`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use winddown::Tls;

use super::{Refusal, duration};

#[expect(clippy::struct_field_names, reason = "the names of flags and variables are made of them")]
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsSettings {
    /// The certificate chain for TLS on HTTP_ADDR, as PEM; a renewed file is taken up without a restart [default: no TLS]
    #[arg(long, env, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of TLS_CERT, as PEM
    #[arg(long, env, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How often TLS_CERT and TLS_KEY are looked at
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    tls_reload_every: Duration,
}

impl TlsSettings {
    /// How HTTP_ADDR speaks TLS, if it does.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, Refusal> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let tls = Tls::from_files(certificate, key).map_err(Refusal::Tls)?;
        Ok(Some(tls.reload_every(self.tls_reload_every)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::refusal;

    #[test]
    fn tls_needs_both_files_and_says_what_is_wrong_with_them() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").expect("the folder is ours");
        let empty = empty.to_str().expect("a temporary path is text");
        let cases: [(&[&str], &[&str]); 3] = [
            (&["--tls-cert", empty], &["--tls-key"]),
            (&["--tls-cert", "/no/such.pem", "--tls-key", empty], &["TLS_CERT", "/no/such.pem", "No such file"]),
            (&["--tls-cert", empty, "--tls-key", empty], &["TLS_CERT", empty, "PEM"]),
        ];
        for (flags, parts) in cases {
            let text = refusal(flags);
            for part in parts {
                assert!(text.contains(part), "{flags:?}: no {part} in\n{text}");
            }
        }
    }
}
