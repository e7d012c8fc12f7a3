//! Where the service listens: on a socket that systemd passes in, or where its settings say.

use std::io;

use winddown::{Address, Listener};

/// The socket that was passed in for this, or one that is bound where `setting` says.
pub(crate) fn listen(inherited: Option<Listener>, setting: &str, address: Address) -> Result<Listener, String> {
    if let Some(listener) = inherited {
        tracing::info!("the socket in the place of {setting}={address} is inherited");
        return Ok(listener);
    }
    bind(setting, address)
}

/// Binds, or says which setting to change.
fn bind(setting: &str, address: Address) -> Result<Listener, String> {
    let remedy = |error: &io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => "choose a free one, or stop what listens there",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 or a folder of your own, or grant the right to it",
        _ => "choose an address of this machine, or a path of less than 108 bytes in a folder that exists",
    };
    winddown::bind(address.clone())
        .map_err(|error| format!("{setting}={address} cannot be bound: {error}; {}", remedy(&error)))
}
