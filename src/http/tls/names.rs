//! Which names and addresses the node goes by, and which the authority may vouch for. Must never
//! put a name into a leaf that the authority is not permitted: clients would refuse all of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints, SanType};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::TlsError;
use crate::limits::LEAF_NAMES_MAX;

/// Domains that exist on a LAN only: mDNS (RFC 6762) and the machine itself (RFC 6761).
const LOCAL_DOMAINS: [&str; 2] = ["local", "localhost"];

/// Addresses that are never on the internet: private (RFC 1918), shared by a carrier (RFC 6598),
/// link-local (RFC 3927, RFC 4291), unique local (RFC 4193) and loopback.
const LOCAL_NETS: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// A host as the operator configured it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Letters, digits and hyphens (RFC 1123); no wildcard, since the node is one host.
    pub(super) fn parse(text: &str) -> Result<Self, TlsError> {
        let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let label_is_good = |label: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(allowed)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(label_is_good) {
            Ok(Self::Name(text))
        } else {
            Err(TlsError::BadHost(text))
        }
    }
}

/// Whether `text` can be a host of the node: a name without wildcards, or an address.
///
/// # Errors
/// [`TlsError::BadHost`].
pub fn check_host(text: &str) -> Result<(), TlsError> {
    Host::parse(text).map(drop)
}

/// The constraints of a new authority: the LAN, and the hosts that the operator named.
pub(super) fn constraints(hosts: &[Host]) -> NameConstraints {
    let mut domains: BTreeSet<String> = LOCAL_DOMAINS.map(str::to_owned).into();
    let mut nets: Vec<(IpAddr, u8)> = LOCAL_NETS.to_vec();
    for host in hosts {
        match host {
            Host::Name(name) => {
                domains.insert(name.clone());
            }
            Host::Address(address) if is_local(*address) => {}
            Host::Address(IpAddr::V4(address)) => nets.push(((*address).into(), 32)),
            Host::Address(IpAddr::V6(address)) => nets.push(((*address).into(), 128)),
        }
    }
    let domains = domains.into_iter().map(GeneralSubtree::DnsName);
    let nets = nets.into_iter().map(|(address, prefix)| {
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix))
    });
    NameConstraints {
        permitted_subtrees: domains.chain(nets).collect(),
        excluded_subtrees: Vec::new(),
    }
}

fn is_local(address: IpAddr) -> bool {
    LOCAL_NETS.into_iter().any(|(net, prefix)| {
        let cidr = CidrSubnet::from_addr_prefix(net, prefix);
        match cidr {
            CidrSubnet::V4(net, mask) => within(address, &net, &mask),
            CidrSubnet::V6(net, mask) => within(address, &net, &mask),
        }
    })
}

/// Whether the address lies in a net of the same family, given as bytes.
fn within(address: IpAddr, net: &[u8], mask: &[u8]) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.len() == net.len()
        && bytes
            .iter()
            .zip(net)
            .zip(mask)
            .all(|((byte, net), mask)| byte & mask == net & mask)
}

/// What an existing authority may vouch for, read from its certificate.
#[derive(Debug)]
pub(super) struct Permitted {
    domains: Vec<String>,
    nets: Vec<Vec<u8>>,
}

impl Permitted {
    /// `None` when the certificate has no name constraints.
    pub(super) fn of(authority: &X509Certificate<'_>) -> Option<Self> {
        let constraints = authority.name_constraints().ok()??;
        let mut permitted = Self {
            domains: Vec::new(),
            nets: Vec::new(),
        };
        for subtree in constraints.value.permitted_subtrees.as_deref()? {
            match subtree.base {
                GeneralName::DNSName(domain) => permitted.domains.push(domain.to_owned()),
                GeneralName::IPAddress(net) => permitted.nets.push(net.to_vec()),
                _ => {}
            }
        }
        Some(permitted)
    }

    fn allows_name(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| {
            let rest = name.strip_suffix(domain.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| {
            let (net, mask) = net.split_at(net.len() / 2);
            within(address, net, mask)
        })
    }

    /// Which of `addresses` of the machine are beyond it. IPv6 ones are not looked at: those of the
    /// internet come and go by themselves, nobody types them, and there is one within beside them.
    pub(super) fn leaves_out(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Ipv4Addr> {
        let v4 = addresses.into_iter().filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let out: BTreeSet<_> = v4.filter(|ip| !self.allows_address((*ip).into())).collect();
        out.into_iter().collect()
    }

    /// The operator asked for this host, so it must not be left out in silence.
    pub(super) fn check(&self, host: &Host) -> Result<(), TlsError> {
        let (allowed, host) = match host {
            Host::Name(name) => (self.allows_name(name), name.clone()),
            Host::Address(address) => (self.allows_address(*address), address.to_string()),
        };
        let permitted = self.domains.join(", ");
        if allowed {
            Ok(())
        } else {
            Err(TlsError::NotPermitted { host, permitted })
        }
    }
}

/// What a leaf is made out to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Names {
    /// Configured hosts, `<hostname>.local`, `localhost`, and all permitted addresses of the
    /// machine. Addresses beyond [`LEAF_NAMES_MAX`] are left out, IPv6 first.
    pub(super) fn new(
        hosts: &[Host],
        hostname: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
        permitted: &Permitted,
    ) -> Self {
        let mut all = Self::default();
        all.names.insert("localhost".to_owned());
        let first_label = hostname.split('.').next().unwrap_or_default();
        if let Ok(Host::Name(name)) = Host::parse(&format!("{first_label}.local")) {
            all.names.insert(name);
        }
        let mut found: BTreeSet<IpAddr> =
            addresses.into_iter().map(|ip| ip.to_canonical()).collect();
        found.extend([
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ]);
        for host in hosts {
            match host {
                Host::Name(name) => all.names.insert(name.clone()),
                Host::Address(address) => all.addresses.insert(*address),
            };
        }
        all.names.retain(|name| permitted.allows_name(name));
        let room = LEAF_NAMES_MAX.saturating_sub(all.names.len() + all.addresses.len());
        found.retain(|address| permitted.allows_address(*address));
        all.addresses.extend(found.into_iter().take(room));
        all
    }

    /// As [`Names::new`], for this machine now.
    pub(super) fn of_machine(hosts: &[Host], permitted: &Permitted) -> Result<Self, TlsError> {
        Ok(Self::new(
            hosts,
            &hostname(),
            machine_addresses()?,
            permitted,
        ))
    }

    pub(super) fn to_san(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let names = self
            .names
            .iter()
            .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        let addresses = self
            .addresses
            .iter()
            .map(|address| Ok(SanType::IpAddress(*address)));
        names.chain(addresses).collect()
    }

    /// For people: names first.
    pub(super) fn to_strings(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        self.names.iter().cloned().chain(addresses).collect()
    }
}

/// All addresses of this machine.
pub(super) fn machine_addresses() -> Result<Vec<IpAddr>, TlsError> {
    let interfaces = if_addrs::get_if_addrs().map_err(|source| TlsError::Io {
        action: "list the addresses in",
        path: Path::new("/sys/class/net").to_owned(),
        source,
    })?;
    Ok(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

/// The machine's name, `localhost` if it has none.
pub(super) fn hostname() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.into_owned()
    }
}
