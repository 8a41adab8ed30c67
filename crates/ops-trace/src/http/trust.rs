use std::net::IpAddr;

/// Peers whose `traceparent` becomes the parent; for all other peers it becomes a link of a new trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Loopback and private addresses. A peer whose address is unknown is not trusted.
    ///
    /// A proxy on this machine is such a peer, and passes on headers from the
    /// internet: let it remove the header, or trust [`Nobody`](Self::Nobody).
    #[default]
    PrivatePeers,
    /// All peers: only behind a proxy that removes the header.
    Everybody,
    /// No peer.
    Nobody,
    /// Peers in the networks of [`trust_network`](super::ServerSpans::trust_network).
    Networks,
}

pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
