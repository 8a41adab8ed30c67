use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::failure::Failure;
use super::settings::{Addresses, Admin, Settings, default_admin};
use crate::Error;

/// Variables that say where to listen.
const API: &str = "HOST and PORT";
const ADMIN: &str = "OPS_ADMIN_ADDR";

/// The sockets of a service, bound before anything else starts.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) api: TcpListener,
    pub(super) admin: Option<TcpListener>,
    pub(super) addresses: Addresses,
    /// Default address of the admin page, if another program has it.
    pub(super) taken: Option<SocketAddr>,
}

impl Listeners {
    /// Takes the sockets that systemd passed (the API's first, the admin page's second), and binds the others.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Error> {
        let mut passed = Passed::take();
        let api = match passed.next()? {
            Some(listener) => listener,
            None => listen(API, settings.api()?)?,
        };
        let (admin, taken) = match passed.next()? {
            Some(listener) => (Some(listener), None),
            None => admin(settings)?,
        };
        let addresses = Addresses {
            api: address(&api)?,
            admin: admin.as_ref().map(address).transpose()?,
        };
        Ok(Self {
            api,
            admin,
            addresses,
            taken,
        })
    }
}

/// Binds the admin page, if it is on: a default address that is taken is replaced by a free one, any other is an error.
pub(super) fn admin(
    settings: &Settings,
) -> Result<(Option<TcpListener>, Option<SocketAddr>), Error> {
    if !cfg!(feature = "admin") {
        return Ok((None, None));
    }
    match settings.admin()? {
        Admin::Off => Ok((None, None)),
        Admin::At(address) => Ok((Some(listen(ADMIN, address)?), None)),
        Admin::Default => match TcpListener::bind(default_admin()) {
            Ok(listener) => Ok((Some(nonblocking(listener, default_admin())?), None)),
            Err(_) => {
                let mut free = default_admin();
                free.set_port(0);
                Ok((Some(listen(ADMIN, free)?), Some(default_admin())))
            }
        },
    }
}

/// Reports that the admin page has another address than its default one.
pub(super) fn report_taken(taken: SocketAddr, free: SocketAddr) {
    tracing::warn!(target: "ops_layer", taken = %taken, admin = %free, "admin_address_taken");
}

fn listen(name: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|cause| failed(name, address, cause))
}

fn nonblocking(listener: TcpListener, address: SocketAddr) -> Result<TcpListener, Error> {
    match listener.set_nonblocking(true) {
        Ok(()) => Ok(listener),
        Err(cause) => Err(failed(ADMIN, address, cause)),
    }
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

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener
        .local_addr()
        .map_err(|cause| Error::new("serve", Failure::Passed(cause)))
}

/// Sockets that systemd or a development tool passed by `LISTEN_FDS`.
struct Passed {
    sockets: ListenFd,
    index: usize,
}

impl Passed {
    fn take() -> Self {
        // it removes the variables: only if they are there
        let sockets = match std::env::var_os("LISTEN_FDS") {
            Some(_) => ListenFd::from_env(),
            None => ListenFd::empty(),
        };
        Self { sockets, index: 0 }
    }

    fn next(&mut self) -> Result<Option<TcpListener>, Error> {
        let taken = self.sockets.take_tcp_listener(self.index);
        self.index += 1;
        taken
            .and_then(|listener| {
                if let Some(listener) = &listener {
                    listener.set_nonblocking(true)?;
                }
                Ok(listener)
            })
            .map_err(|cause| Error::new("serve", Failure::Passed(cause)))
    }
}
