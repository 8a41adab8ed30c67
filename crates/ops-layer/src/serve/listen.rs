use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::failure::Failure;
use super::settings::{Addresses, Admin, Settings, default_admin};
use crate::Error;

/// Variables for the addresses to listen on.
const API: &str = "HOST and PORT";
const ADMIN: &str = "OPS_ADMIN_ADDR";

/// Listening socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: TcpListener,
    pub(super) at: At,
}

/// Address of a socket, and its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) address: SocketAddr,
    /// The socket was passed by `LISTEN_FDS`.
    #[cfg_attr(
        not(feature = "admin"),
        expect(dead_code, reason = "it is shown on the admin page")
    )]
    pub(super) passed: bool,
}

impl Socket {
    fn new(listener: TcpListener, passed: bool) -> Result<Self, Error> {
        let address = listener.local_addr().and_then(|address| {
            listener.set_nonblocking(true)?;
            Ok(address)
        });
        let address = address.map_err(|cause| Error::new("serve", Failure::Passed(cause)))?;
        let at = At { address, passed };
        Ok(Self { listener, at })
    }
}

/// The sockets of a service, bound before anything else starts.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) api: Socket,
    pub(super) admin: Option<Socket>,
    /// Default address of the admin page, if another program uses it.
    taken: Option<SocketAddr>,
    /// Address of a passed socket that is unused because the admin page is off.
    unused: Option<SocketAddr>,
}

impl Listeners {
    /// Takes the sockets that systemd passed (first the API's, then the admin page's), and binds the others.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Error> {
        let mut passed = Passed::take();
        let api = match passed.next()? {
            Some(socket) => socket,
            None => listen(API, settings.api()?)?,
        };
        let mut listeners = Self {
            api,
            admin: None,
            taken: None,
            unused: None,
        };
        match passed.next()? {
            Some(socket) if settings.has_admin()? => listeners.admin = Some(socket),
            Some(socket) => listeners.unused = Some(socket.at.address),
            None => (listeners.admin, listeners.taken) = admin(settings)?,
        }
        Ok(listeners)
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            api: self.api.at.address,
            admin: self.admin.as_ref().map(|socket| socket.at.address),
        }
    }

    /// Logs if the admin page is not at the requested address. The log starts after the sockets are bound.
    pub(super) fn report(&self) {
        if let (Some(taken), Some(admin)) = (self.taken, &self.admin) {
            report_taken(taken, admin.at.address);
        }
        if let Some(unused) = self.unused {
            tracing::warn!(
                target: "ops_layer", address = %unused, hint = "the admin page is off", "passed_socket_unused"
            );
        }
    }
}

/// Binds the admin page, if it is on: a default address that is taken
/// is replaced by a free one; for any other address, that is an error.
pub(super) fn admin(settings: &Settings) -> Result<(Option<Socket>, Option<SocketAddr>), Error> {
    if !cfg!(feature = "admin") {
        return Ok((None, None));
    }
    match settings.admin()? {
        Admin::Off => Ok((None, None)),
        Admin::At(address) => Ok((Some(listen(ADMIN, address)?), None)),
        Admin::Default => match TcpListener::bind(default_admin()) {
            Ok(listener) => Ok((Some(Socket::new(listener, false)?), None)),
            Err(_) => {
                let mut free = default_admin();
                free.set_port(0);
                Ok((Some(listen(ADMIN, free)?), Some(default_admin())))
            }
        },
    }
}

/// Logs that the admin page has another address than its default one.
pub(super) fn report_taken(taken: SocketAddr, free: SocketAddr) {
    tracing::warn!(target: "ops_layer", taken = %taken, admin = %free, "admin_address_taken");
}

fn listen(name: &'static str, address: SocketAddr) -> Result<Socket, Error> {
    let listener = TcpListener::bind(address).map_err(|cause| failed(name, address, cause))?;
    Socket::new(listener, false)
}

fn failed(name: &'static str, address: SocketAddr, cause: std::io::Error) -> Error {
    let part = if name == API { "serve" } else { "admin" };
    Error::new(
        part,
        Failure::Bind {
            name,
            address,
            cause,
        },
    )
}

/// Sockets that systemd or a development tool passed by `LISTEN_FDS`.
struct Passed {
    sockets: ListenFd,
    index: usize,
}

impl Passed {
    fn take() -> Self {
        // from_env removes the variables: call it only if they are set
        let sockets = match std::env::var_os("LISTEN_FDS") {
            Some(_) => ListenFd::from_env(),
            None => ListenFd::empty(),
        };
        Self { sockets, index: 0 }
    }

    fn next(&mut self) -> Result<Option<Socket>, Error> {
        let taken = self.sockets.take_tcp_listener(self.index);
        self.index += 1;
        let taken = taken.map_err(|cause| Error::new("serve", Failure::Passed(cause)))?;
        taken
            .map(|listener| Socket::new(listener, true))
            .transpose()
    }
}
