//! TLS by rustls: certificates that are reloaded, handshakes off the accept loop, records that are watched.

mod certificate;
mod records;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ServerConfig, crypto::ring, pki_types::pem};
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{certificate::Certificate, records::Records};
use crate::server::{connection::Connection, stream::Stream};

/// How often certificate files are looked at, unless said otherwise.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// A TLS session on a socket. Boxed: it is large, and most connections have none.
pub(crate) type Session = Box<TlsStream<Records>>;

/// How a listener speaks TLS; see [`Listener::with_tls`](crate::Listener::with_tls). Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Option<Arc<Certificate>>,
    reload_every: Duration,
}

/// The certificate or its key was refused.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate to be read.
    #[error("the certificate {} cannot be read; give a PEM file with the whole chain, the server's own first", path.display())]
    Certificate {
        /// What was set.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// There is no private key to be read.
    #[error("the private key {} cannot be read; give a PEM file with one key, PKCS#8, PKCS#1 or SEC1", path.display())]
    Key {
        /// What was set.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// They are no pair, or of no kind that is known.
    #[error("the private key {} does not fit the certificate {}; give the one it was issued for", key.display(), certificate.display())]
    Pair {
        /// What was set.
        certificate: PathBuf,
        /// What was set.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate chain and its key from PEM files. Offers TLS 1.2 and 1.3, and by ALPN HTTP/2 and HTTP/1.1.
    ///
    /// While a server runs, the files are looked at every 10 s ([`Tls::reload_every`]). Once they have changed and are a
    /// pair, new connections get the new certificate; while they are none, the old one stays and an error is logged. So a
    /// renewal needs no restart and no signal, by certbot and by Kubernetes alike.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has no certificate or key in it, and a key that does not fit.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let certificate = Arc::new(Certificate::read(certificate.into(), key.into())?);
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
        Ok(Self { certificate: Some(certificate), ..Self::from_config(config.into()) })
    }

    /// Speaks TLS as `config` says. Nothing is reloaded, and its `alpn_protocols` must name `h2` and `http/1.1` for
    /// clients to speak HTTP/2.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { acceptor: config.into(), certificate: None, reload_every: RELOAD_EVERY }
    }

    /// How often the files of [`Tls::from_files`] are looked at, every 10 ms at the most. Defaults to 10 s.
    #[must_use]
    pub fn reload_every(self, interval: Duration) -> Self {
        Self { reload_every: interval.max(Duration::from_millis(10)), ..self }
    }

    /// Takes a handshake to its end. The caller bounds it.
    pub(super) async fn handshake(&self, socket: Stream, connection: Arc<Connection>) -> io::Result<Stream> {
        let session = self.acceptor.accept(Records::new(socket, connection)).await?;
        Ok(Stream::Tls(Box::new(session)))
    }

    /// Keeps the certificate fresh for as long as it is polled. Ends at once where there are no files.
    pub(super) async fn keep_fresh(&self) {
        let Some(certificate) = &self.certificate else { return };
        loop {
            sleep(self.reload_every).await;
            let certificate = certificate.clone();
            // Files may lie on a disk that hangs.
            if let Err(panic) = tokio::task::spawn_blocking(move || certificate.refresh()).await {
                tracing::error!(%panic, "the certificate was not looked at");
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
