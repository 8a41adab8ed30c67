use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;

use super::activity::Limits;
use super::connection::{self, Http};
use super::connections::{Connections, Phase};

/// Pauses between two attempts to accept while the operating system has no descriptor left.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Time without a failed attempt after which descriptors are no longer short.
const RECOVERED: Duration = Duration::from_secs(10);
/// Time after which a connection that should make room is asked again: it may have been busy.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Acceptor of the connections of one listener.
pub(super) struct Acceptor {
    /// Name of the listener in log events: `api` or `admin`.
    pub(super) name: &'static str,
    pub(super) app: Router,
    pub(super) limits: Limits,
    /// Maximum number of open connections; for one more, the one that was idle longest is closed.
    pub(super) max_connections: usize,
    pub(super) spare: Spare,
    pub(super) connections: Connections,
}

impl Acceptor {
    /// Accepts until the phase is `Closing`, and then what is still waiting to be accepted.
    pub(super) async fn run(mut self, listener: TcpListener) {
        let http = Arc::new(connection::http());
        let mut phase = self.connections.phase();
        let mut failing = Failing::new(self.name);
        loop {
            self.make_room(&mut phase).await;
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    self.spawn(tcp, peer, &http);
                    // not earlier: it would take the descriptor that was released for this connection
                    failing.accepted(self.spare.refill());
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    failing.report(&error);
                    if !self.spare.release() {
                        self.connections.evict_oldest_idle();
                        tokio::time::sleep(failing.pause()).await;
                    }
                }
            }
        }
        self.accept_the_rest(listener, &http);
    }

    /// Accepts the connections made before the listener is closed: their requests may have arrived already.
    fn accept_the_rest(&self, listener: TcpListener, http: &Arc<Http>) {
        let Ok(listener) = listener.into_std() else {
            return; // still owned by the runtime
        };
        while let Ok((tcp, peer)) = listener.accept() {
            let tcp = tcp
                .set_nonblocking(true)
                .and_then(|()| tokio::net::TcpStream::from_std(tcp));
            if let Ok(tcp) = tcp {
                self.spawn(tcp, peer, http);
            }
        }
    }

    fn spawn(&self, tcp: tokio::net::TcpStream, peer: std::net::SocketAddr, http: &Arc<Http>) {
        // the first read notices a client that is gone already
        let _ = tcp.set_nodelay(true);
        let slot = self.connections.enter();
        let task = tokio::spawn(connection::serve(
            tcp,
            peer,
            self.app.clone(),
            http.clone(),
            self.limits,
            self.connections.phase(),
            slot.clone(),
        ));
        slot.set_task(task.abort_handle());
    }

    /// Waits until there is room; the connection that was idle longest has to leave.
    async fn make_room(&self, phase: &mut tokio::sync::watch::Receiver<Phase>) {
        while self.connections.len() >= self.max_connections {
            self.connections.evict_oldest_idle();
            tokio::select! {
                () = self.connections.one_left() => {}
                () = tokio::time::sleep(ASK_AGAIN) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
            }
        }
    }
}

/// Returns whether an error concerns only one connection, whose client went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
    )
}

/// Reserved descriptors, so that one can be released for a connection when no other is left.
pub(super) struct Spare {
    held: Vec<File>,
    wanted: usize,
}

impl Spare {
    /// Reserves this many.
    pub(super) fn new(wanted: usize) -> Self {
        let mut spare = Self {
            held: Vec::with_capacity(wanted),
            wanted,
        };
        spare.refill();
        spare
    }

    /// Opens the missing ones; `false` if the operating system has too few. Repeated after the next connection.
    fn refill(&mut self) -> bool {
        while self.held.len() < self.wanted {
            match File::open("/dev/null") {
                Ok(file) => self.held.push(file),
                Err(_) => return false,
            }
        }
        true
    }

    /// Releases one; `false` if none is left.
    fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }
}

/// Period in which descriptors are short; logged when it begins and when it ends.
struct Failing {
    name: &'static str,
    /// Failed attempts since it began.
    attempts: u32,
    /// Failed attempts since a connection was accepted.
    in_a_row: u32,
    last: Instant,
}

impl Failing {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            attempts: 0,
            in_a_row: 0,
            last: Instant::now(),
        }
    }

    fn report(&mut self, error: &io::Error) {
        if self.attempts == 0 {
            tracing::error!(
                target: "ops_layer", listener = self.name, error = %error,
                hint = "raise the limit of open files if it is reached", "accept_failed"
            );
        }
        self.attempts = self.attempts.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Instant::now();
    }

    fn pause(&self) -> Duration {
        let doubled = RETRY_FIRST.saturating_mul(1 << self.in_a_row.min(10));
        doubled.min(RETRY_MAX)
    }

    /// Records an accepted connection. The period ends only after a time
    /// without failures, because each connection that ends makes room for one.
    fn accepted(&mut self, is_spare_full: bool) {
        self.in_a_row = 0;
        if self.attempts > 0 && is_spare_full && self.last.elapsed() >= RECOVERED {
            tracing::info!(
                target: "ops_layer", listener = self.name, attempts = self.attempts, "accept_recovered"
            );
            self.attempts = 0;
        }
    }
}
