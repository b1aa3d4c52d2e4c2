//! Taking the addresses, and the line that tells them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::cli::Failure;
use crate::config::Config;
use crate::http::app::{HttpOptions, routers};
use crate::http::listen::{self, Bound, Kind, Listener};
use crate::http::tls::TlsIdentity;
use crate::peer::PeerNode;
use crate::service::App;

/// Takes all addresses; each comes with its name in the ready line.
pub(super) fn bind(
    app: &Arc<App>,
    config: &Config,
    options: &HttpOptions,
    identity: Option<&Arc<TlsIdentity>>,
) -> Result<Vec<(&'static str, Bound)>, Failure> {
    let routers = routers(app, options);
    let tls = identity.map(|identity| Kind::Tls(Arc::clone(identity)));
    let wanted = [
        (
            "",
            config.http,
            Some(Kind::Plain),
            routers.patient,
            "--http",
        ),
        (
            "backoffice ",
            config.backoffice,
            Some(Kind::Plain),
            routers.backoffice,
            "--backoffice",
        ),
        ("https ", config.https, tls, routers.lan, "--https"),
    ];
    let mut bound = Vec::new();
    for (name, address, kind, app, option) in wanted {
        if let (Some(addr), Some(kind)) = (address.get(), kind) {
            let listener = Listener {
                addr,
                kind,
                app,
                option,
            };
            let taken = listen::bind(listener).map_err(|error| Failure::new(error.to_string()))?;
            bound.push((name, taken));
        }
    }
    Ok(bound)
}

/// Where the node can be reached.
pub(in crate::cli) struct Url {
    /// As in the ready line: nothing for the patients' API, else `backoffice `, `https ` or `peer `.
    pub(in crate::cli) name: &'static str,
    /// The address with its real port.
    pub(in crate::cli) url: String,
    /// What its certificate is signed by; for `peer `, the id of the node.
    pub(in crate::cli) fingerprint: Option<String>,
}

/// Every address.
pub(super) fn urls(bound: &[(&'static str, Bound)], identity: Option<&TlsIdentity>) -> Vec<Url> {
    let url = |(name, bound): &(&'static str, Bound)| match identity {
        Some(identity) if bound.url().starts_with("https:") => {
            let host = host_for_people(bound.addr(), identity);
            Url {
                name,
                url: format!("https://{host}:{}", bound.addr().port()),
                fingerprint: Some(identity.authority().fingerprint()),
            }
        }
        _ => Url {
            name,
            url: bound.url(),
            fingerprint: None,
        },
    };
    bound.iter().map(url).collect()
}

/// Where other nodes connect.
pub(super) fn peer_url(bound: &Bound, node: &PeerNode) -> Url {
    Url {
        name: "peer ",
        url: bound.addr().to_string(),
        fingerprint: Some(node.identity.node_id()),
    }
}

/// What `islet serve` prints: every address with its real port.
pub(super) fn ready_line(urls: &[Url]) -> String {
    let mut line = "islet ready:".to_owned();
    for Url {
        name,
        url,
        fingerprint,
    } in urls
    {
        line.push_str(&format!(" {name}{url}"));
        if let Some(fingerprint) = fingerprint {
            let what = if *name == "peer " { "id" } else { "CA sha256" };
            line.push_str(&format!(" ({what} {fingerprint})"));
        }
    }
    line
}

/// A name that other machines find this one by, where it listens on all addresses.
fn host_for_people(addr: SocketAddr, identity: &TlsIdentity) -> String {
    let names = identity.names();
    let name = names.iter().find(|name| !name.starts_with("localhost"));
    match name {
        Some(name) if addr.ip().is_unspecified() => name.clone(),
        _ => match addr {
            SocketAddr::V4(addr) => addr.ip().to_string(),
            SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        },
    }
}
