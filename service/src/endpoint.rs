//! Where telemetry is sent: by HTTP in the clear, because what takes it stands beside the service and speaks TLS to the world.

use std::fmt;

use axum::http::{Uri, uri::Scheme};

#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    /// Reads the address of `somebody`, as "a collector". Says what is wrong with it, and not how it is put right.
    ///
    /// Give it no user and no password: the error of a parser may show them.
    pub(crate) fn of(somebody: &str, text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(format!("this build speaks no TLS to {somebody}; put one beside the service"));
            }
            Some(scheme) => return Err(format!("{scheme} is no protocol that this build speaks to {somebody}")),
            None => return Err("the protocol is missing".to_owned()),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("the host is missing".to_owned());
        }
        // Only a port that is a number is one for the parser, and it says nothing of others.
        if uri.port().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().ends_with(authority.host()))
        {
            return Err("the port is no number below 65536".to_owned());
        }
        if uri.query().is_some() {
            return Err("it has a query".to_owned());
        }
        Ok(Self(uri))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
