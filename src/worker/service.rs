//! The word to a service manager (systemd's `Type=notify`) that a start has gone well: until then it has failed if the process
//! ends.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says so, where somebody waits for it (`sd_notify`(3)).
pub fn tell_started() {
    if let Err(error) = tell(b"READY=1") {
        tracing::warn!("NOTIFY_SOCKET: the service manager can't be told that the start has gone well: {error}");
    }
}

fn tell(what: &[u8]) -> io::Result<()> {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(what, &address)?;
    Ok(())
}
