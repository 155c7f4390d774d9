//! Interfaces, addresses and routes by rtnetlink, on a blocking socket with a deadline.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::TimeVal;

use super::{Address, Link, Route, mac_text};

/// Receive buffer: the kernel sends a dump in pieces of at most 32 KiB to a reader of this size.
const BUFFER: usize = 64 << 10;
const DEADLINE_S: i64 = 2;
const TABLE_LOCAL: u32 = 255;

/// Runs one dump and hands every message to `take`. A message that the library cannot decode is skipped: a new kernel must
/// not hide all interfaces.
fn dump(request: RouteNetlinkMessage, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    setsockopt(&socket.as_fd(), ReceiveTimeout, &TimeVal::new(DEADLINE_S, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    header.sequence_number = 1;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        let len = socket.recv(&mut &mut buffer[..], 0)?;
        let mut rest = &buffer[..len];
        while rest.len() >= 16 {
            let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            if size < 16 || size > rest.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..size]).map(|message| message.payload) {
                Ok(NetlinkPayload::Done(_)) => return Ok(()),
                Ok(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                Ok(NetlinkPayload::InnerMessage(message)) => take(message),
                Ok(_) | Err(_) => {}
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// All interfaces.
pub(super) fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
        if let RouteNetlinkMessage::NewLink(message) = message {
            links.push(link(message));
        }
    })?;
    Ok(links)
}

fn link(message: LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) if !bytes.is_empty() => link.address = Some(mac_text(&bytes)),
            LinkAttribute::PermAddress(bytes) if bytes.iter().any(|b| *b != 0) => {
                link.permanent_address = Some(mac_text(&bytes));
            }
            LinkAttribute::Mtu(mtu) => link.mtu = Some(mtu),
            LinkAttribute::Carrier(carrier) => link.carrier = Some(carrier == 1),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) if index != 0 => link.lower = Some(index),
            LinkAttribute::NumVf(count) => link.functions = Some(count),
            LinkAttribute::CarrierChanges(count) => link.carrier_changes = Some(count),
            LinkAttribute::Promiscuity(count) => link.promiscuity = Some(count),
            LinkAttribute::PropList(names) => {
                let name = |name| if let Prop::AltIfName(name) = name { Some(name) } else { None };
                link.alternative_names = names.into_iter().filter_map(name).collect();
            }
            LinkAttribute::LinkInfo(infos) => kind(&mut link, infos),
            _ => {}
        }
    }
    link
}

fn kind(link: &mut Link, infos: Vec<LinkInfo>) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vlan(data)) => {
                link.vlan = data.iter().find_map(|item| if let InfoVlan::Id(id) = item { Some(*id) } else { None });
            }
            _ => {}
        }
    }
}

/// All addresses.
pub(super) fn addresses() -> io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            addresses.extend(address(&message));
        }
    })?;
    Ok(addresses)
}

fn address(message: &AddressMessage) -> Option<Address> {
    // IFA_LOCAL is the host's own end; IFA_ADDRESS is the peer's on point-to-point links.
    let (mut local, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => other = Some(*ip),
            _ => {}
        }
    }
    let ip: IpAddr = local.or(other)?;
    let scope = match message.header.scope {
        AddressScope::Universe => "global",
        AddressScope::Site => "site",
        AddressScope::Link => "link",
        AddressScope::Host => "host",
        _ => "other",
    };
    Some(Address {
        index: message.header.index,
        address: ip.to_string(),
        prefix: message.header.prefix_len,
        scope: scope.to_owned(),
        // The header's flag 0x01 is "secondary" for IPv4 and "temporary" for IPv6.
        secondary: message.header.flags.bits() & 1 != 0,
    })
}

/// All unicast routes.
pub(super) fn routes() -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        dump(RouteNetlinkMessage::GetRoute(request), |message| {
            if let RouteNetlinkMessage::NewRoute(message) = message
                && message.header.kind == RouteType::Unicast
            {
                routes.push(route(&message));
            }
        })?;
    }
    routes.retain(|route: &Route| route.table != TABLE_LOCAL);
    Ok(routes)
}

fn route(message: &RouteMessage) -> Route {
    let mut route = Route {
        destination: "default".to_owned(),
        table: u32::from(message.header.table),
        protocol: format!("{:?}", message.header.protocol).to_lowercase(),
        ..Route::default()
    };
    let prefix = message.header.destination_prefix_length;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                route.destination = ip(to).map_or_else(|| "other".to_owned(), |ip| format!("{ip}/{prefix}"));
            }
            RouteAttribute::Gateway(via) => route.gateways.extend(ip(via).map(|ip| ip.to_string())),
            RouteAttribute::Oif(index) => route.interfaces.push(*index),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::PrefSource(from) => route.source = ip(from).map(|ip| ip.to_string()),
            RouteAttribute::MultiPath(hops) => {
                for hop in hops {
                    route.interfaces.push(hop.interface_index);
                    for attribute in &hop.attributes {
                        if let RouteAttribute::Gateway(via) = attribute {
                            route.gateways.extend(ip(via).map(|ip| ip.to_string()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    route
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
