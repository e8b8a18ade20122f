//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

/// Length of the listen backlog; the kernel caps it at `net.core.somaxconn`. With the standard library's 128, the
/// kernel drops handshakes of a larger burst while the client considers the connection established.
const BACKLOG: i32 = 4096;
/// Size of the kernel's buffer for responses of a connection, in bytes. The kernel doubles it for its bookkeeping.
const SEND_BUFFER: usize = 128 << 10;
/// The same for requests.
const RECEIVE_BUFFER: usize = 16 << 10;

/// Listens on all of these addresses. `[::]` also accepts IPv4, and is `0.0.0.0` on a host without IPv6.
///
/// A host name may have IPv6 addresses that this host does not have. They are skipped if another address remains.
///
/// # Errors
///
/// The first address that cannot be listened on, and why.
pub fn listen_on(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    open_all(addresses, |address| {
        let socket = bound(address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    })
}

/// Prepares a listening socket that another program has opened: sets what [`listen_on`] would set and what can still be
/// changed. Backlog and IP versions are the choice of that program.
///
/// # Errors
///
/// The socket does not listen, or its options cannot be set.
pub fn adopt(socket: &TcpListener) -> io::Result<()> {
    if !sockopt::socket_acceptconn(socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    set_buffer_sizes(socket)?;
    Ok(())
}

/// Checks whether [`listen_on`] could use all of these addresses. Accepts no connection and occupies nothing.
///
/// # Errors
///
/// The first address that cannot be listened on, and why.
pub fn check_addresses(addresses: &[SocketAddr]) -> io::Result<()> {
    open_all(addresses, |address| bound(address).map(drop)).map(drop)
}

fn open_all<T>(addresses: &[SocketAddr], open: impl Fn(SocketAddr) -> Result<T, Errno>) -> io::Result<Vec<T>> {
    let (mut opened, mut unavailable) = (Vec::new(), None);
    for address in addresses {
        let over_ipv4 = |errno| match address.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() && is_without_ipv6(errno) => {
                open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
            }
            IpAddr::V6(_) | IpAddr::V4(_) => Err(errno),
        };
        match open(*address).or_else(over_ipv4) {
            Ok(socket) => opened.push(socket),
            Err(errno) => {
                let error = io::Error::new(errno.kind(), format!("{address}: {errno}"));
                if !address.is_ipv6() || !is_without_ipv6(errno) {
                    return Err(error);
                }
                unavailable = Some(error);
            }
        }
    }
    match unavailable {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

fn is_without_ipv6(errno: Errno) -> bool {
    matches!(errno, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT)
}

/// A socket with this address. Until one of them listens, several sockets may have the same address.
fn bound(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // As the standard library does: a restart can listen although old connections are in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // The default depends on `net.ipv6.bindv6only`. For other addresses than `[::]` it makes no difference.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    set_buffer_sizes(&socket)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// Connections inherit them. The kernel would give a slow reader up to 4 MiB.
fn set_buffer_sizes(socket: impl AsFd) -> Result<(), Errno> {
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)
}
