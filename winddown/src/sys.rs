//! The five things that need the kernel and have no safe face in a library. The crate's only `unsafe`.
#![allow(unsafe_code)]

use std::{
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};
#[cfg(feature = "systemd")]
use std::{
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Ends the process at once: no destructors, no `atexit` handlers, no waiting for threads.
///
/// [`std::process::exit`] runs what C libraries left with `atexit`, and that may wait for a lock which a blocked
/// thread holds. The watchdog must not wait.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes no pointer, has no precondition and does not return.
    unsafe { libc::_exit(code) }
}

/// The descriptors that whoever started this process left open for it, by number (`sd_listen_fds(3)`). Only the first call
/// gets them, or each would have two owners.
#[cfg(feature = "systemd")]
pub(crate) fn inherited(numbers: impl IntoIterator<Item = RawFd>) -> Vec<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    // SAFETY: the caller has these numbers from `LISTEN_FDS`, for a `LISTEN_PID` that is ours, and has seen that they came
    // through exec ([`came_through_exec`]): so the kernel gave these numbers to nothing that this process opened, and whoever
    // started it says that they are ours to own. Nobody else in this crate makes an owner of a number, and this happens once.
    numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

/// Whether a descriptor is open and may have come through `exec`. Whatever the standard library and tokio open has
/// `FD_CLOEXEC`, so none of that has.
#[cfg(feature = "systemd")]
pub(crate) fn came_through_exec(number: RawFd) -> bool {
    // SAFETY: `F_GETFD` takes no pointer; a number that is not open is answered with an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// The shortest round trip that the kernel has seen on a TCP connection; `None` where it does not say.
///
/// The minimum, and not the smoothed value: a peer that delays its acknowledgements by 40 ms is not far away.
pub(crate) fn round_trip(socket: BorrowedFd<'_>) -> Option<Duration> {
    tcp_info(socket).map(|info| Duration::from_micros(info.min_rtt.into())).filter(|rtt| !rtt.is_zero())
}

/// What the kernel still has for the peer of a TCP connection; `None` where it does not say.
pub(crate) fn outgoing(socket: BorrowedFd<'_>) -> Option<Outgoing> {
    tcp_info(socket).map(|info| Outgoing {
        acknowledged: info.bytes[2],
        unsent: info.segments[2] > 0,
        in_flight: info.counters[4] > 0,
    })
}

/// See [`outgoing`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    /// Bytes that the peer's kernel has taken so far.
    pub(crate) acknowledged: u64,
    /// Bytes have not been sent yet: the peer takes no more at a time.
    pub(crate) unsent: bool,
    /// Bytes, or our FIN, were sent and are not acknowledged.
    pub(crate) in_flight: bool,
}

/// The head of Linux's `struct tcp_info`, up to `tcpi_min_rtt` (Linux 4.6). The kernel only ever appends fields.
#[repr(C)]
#[derive(Clone, Copy)]
struct TcpInfo {
    _states: [u8; 8],
    /// The fifth is `tcpi_unacked`, in segments.
    counters: [u32; 24],
    /// The third is `tcpi_bytes_acked`.
    bytes: [u64; 4],
    /// The third is `tcpi_notsent_bytes`.
    segments: [u32; 3],
    min_rtt: u32,
}

#[cfg(target_os = "linux")]
fn tcp_info(socket: BorrowedFd<'_>) -> Option<TcpInfo> {
    const LENGTH: libc::socklen_t = size_of::<TcpInfo>() as libc::socklen_t;
    let mut info = MaybeUninit::<TcpInfo>::zeroed();
    let mut length = LENGTH;
    // SAFETY: the descriptor is open because it is borrowed; `info` and `length` are valid for writes of `length`
    // bytes, and the kernel writes no more than `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    // SAFETY: every bit pattern is a `TcpInfo`, and all of it was zeroed before.
    (result == 0 && length == LENGTH).then(|| unsafe { info.assume_init() })
}

#[cfg(not(target_os = "linux"))]
fn tcp_info(_socket: BorrowedFd<'_>) -> Option<TcpInfo> {
    None
}

/// Leaves handshakes with this listener half open until the client sends data: `TCP_DEFER_ACCEPT`, `tcp(7)`.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn defer_accept(listener: BorrowedFd<'_>, seconds: libc::c_int) {
    // SAFETY: the descriptor is open because it is borrowed, and the value lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    #[test]
    fn the_round_trip_of_a_loopback_connection_is_known_and_short() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("the listener is open");
        let (mut server, _) = listener.accept().expect("a client has connected");
        server.write_all(b"x").expect("the client reads");
        client.read_exact(&mut [0]).expect("the server wrote");
        let rtt = round_trip(server.as_fd()).expect("Linux tells");
        assert!(rtt < Duration::from_millis(500), "{rtt:?}");
    }

    #[test]
    fn what_a_peer_has_not_taken_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("the listener is open");
        let (mut server, _) = listener.accept().expect("a client has connected");
        let before = outgoing(server.as_fd()).expect("Linux tells");
        assert!(!before.unsent && !before.in_flight, "{before:?}");
        server.set_nonblocking(true).expect("an open socket can be told so");
        let mut written = 0;
        while let Ok(length) = server.write(&[0; 1 << 14]) {
            written += length;
        }
        assert!(outgoing(server.as_fd()).expect("Linux tells").unsent, "{written} bytes for nobody");
        client.read_exact(&mut vec![0; written]).expect("the server wrote");
        // Its acknowledgement is on the way.
        let taken = || outgoing(server.as_fd()).expect("Linux tells").acknowledged - before.acknowledged;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while taken() < written as u64 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(taken(), written as u64);
    }

    #[test]
    fn a_socket_without_tcp_has_no_round_trip() {
        let (one, _two) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets can be made");
        assert_eq!(round_trip(one.as_fd()), None);
    }
}
