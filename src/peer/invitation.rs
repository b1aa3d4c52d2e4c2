//! The code that a node is invited by: read off a screen and typed, or taken from a QR image.
//!
//! ```text
//! code    := version(1, = 1) network(16) key(32) secret(16) count(1) address{count} sum(4)
//! address := 4 ipv4(4) port(2) | 6 ipv6(16) port(2) | 0 length(1) name port(2)
//! ```
//!
//! The bytes are written in Crockford's base32, 19 characters to a row and one that checks them, so
//! that a slip of the hand is found where it was made. The last four bytes are BLAKE3 of the others.
//! The key pins the node that answers; the secret lets one node in, once, for a bounded time. Must
//! never be logged, stored or sent anywhere but to the node with that key.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::PublicKey;
use crate::auth::{Random, RandomError, Secret};
use crate::limits::{PEER_ADDRESSES_MAX, PEER_HOST_BYTES_MAX};

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 16;
const VERSION: u8 = 1;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a row, the last of which checks the others.
const ROW: usize = 20;
/// Characters that stand together.
const GROUP: usize = 5;
const SUM_BYTES: usize = 4;
/// Rows of the longest code.
const ROWS_MAX: usize = 100;

/// What stands in a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The network.
    pub network: [u8; 16],
    /// The key of the node that invites.
    pub public_key: PublicKey,
    /// What lets the other node in.
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
    /// `host:port`, where the inviting node is reached.
    pub addresses: Vec<String>,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({:?})", self.addresses)
    }
}

/// Why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("the code holds {0:?}, which no code has: look at it again")]
    Character(char),
    /// A row does not fit its check character.
    #[error("row {0} of the code is not right: compare it character by character")]
    Row(usize),
    /// Rows are missing, or in another order.
    #[error("the code is not complete: type all rows, in their order")]
    Incomplete,
    /// A code of another version.
    #[error("the code is of another version of islet: use the same version on both nodes")]
    Version,
}

/// Why an address cannot stand in a code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a host and port such as 192.168.1.10:8444")]
pub struct AddressError(pub String);

/// What is stored of a secret.
#[must_use]
pub fn digest(secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
    blake3::derive_key("islet 2026-11 invitation secret digest", secret)
}

impl Invitation {
    /// A new one, to the node with `public_key` at `addresses`.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn new(
        network: [u8; 16],
        public_key: PublicKey,
        mut addresses: Vec<String>,
        random: &dyn Random,
    ) -> Result<Self, RandomError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(secret.as_mut())?;
        addresses.truncate(PEER_ADDRESSES_MAX);
        Ok(Self {
            network,
            public_key,
            secret,
            addresses,
        })
    }

    /// What the inviting node stores.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.secret)
    }

    /// The code without spaces, for a QR image.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn code(&self) -> Result<Secret, AddressError> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend(self.network);
        bytes.extend(self.public_key);
        bytes.extend(self.secret.as_ref());
        bytes.push(self.addresses.len().min(PEER_ADDRESSES_MAX) as u8);
        for address in self.addresses.iter().take(PEER_ADDRESSES_MAX) {
            put_address(&mut bytes, address)?;
        }
        let sum = *blake3::hash(&bytes).as_bytes();
        bytes.extend(&sum[..SUM_BYTES]);
        Ok(Secret::new(write_rows(&bytes)))
    }

    /// Reads what somebody typed: case, spaces, dashes and line ends do not matter, and `O`, `I` and
    /// `L` are taken for the digits that they look like.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let bytes = read_rows(typed)?;
        let end = bytes.len().checked_sub(SUM_BYTES);
        let (body, sum) = bytes.split_at(end.ok_or(CodeError::Incomplete)?);
        let mut input = body;
        if body.first().is_some_and(|version| *version != VERSION) {
            return Err(CodeError::Version);
        }
        if blake3::hash(body).as_bytes()[..SUM_BYTES] != *sum {
            return Err(CodeError::Incomplete);
        }
        take_invitation(&mut input)
            .filter(|_| input.is_empty())
            .ok_or(CodeError::Version)
    }
}

fn take_invitation(input: &mut &[u8]) -> Option<Invitation> {
    let _version = take::<1>(input)?;
    let (network, public_key) = (take(input)?, take(input)?);
    let secret = Zeroizing::new(take(input)?);
    let [count] = take(input)?;
    if usize::from(count) > PEER_ADDRESSES_MAX {
        return None;
    }
    let addresses = (0..count)
        .map(|_| take_address(input))
        .collect::<Option<_>>()?;
    Some(Invitation {
        network,
        public_key,
        secret,
        addresses,
    })
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(*head)
}

/// Splits `host:port`.
///
/// # Errors
/// [`AddressError`] when it is none.
pub fn split_address(address: &str) -> Result<(&str, u16), AddressError> {
    let wrong = || AddressError(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_address = address.parse::<SocketAddr>().is_ok();
    let is_name = !host.is_empty() && host.len() <= PEER_HOST_BYTES_MAX && host.chars().all(name);
    if port > 0 && (is_address || is_name) {
        Ok((host, port))
    } else {
        Err(wrong())
    }
}

fn put_address(out: &mut Vec<u8>, address: &str) -> Result<(), AddressError> {
    let (host, port) = split_address(address)?;
    match address.parse::<SocketAddr>().map(|addr| addr.ip()) {
        Ok(IpAddr::V4(ip)) => {
            out.push(4);
            out.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            out.push(6);
            out.extend(ip.octets());
        }
        Err(_) => {
            out.extend([0, host.len() as u8]);
            out.extend(host.as_bytes());
        }
    }
    out.extend(port.to_be_bytes());
    Ok(())
}

fn take_address(input: &mut &[u8]) -> Option<String> {
    let host = match take(input)? {
        [4u8] => IpAddr::from(take::<4>(input)?).to_string(),
        [6] => format!("[{}]", IpAddr::from(take::<16>(input)?)),
        [0] => {
            let [length] = take(input)?;
            let (name, rest) = input.split_at_checked(length.into())?;
            *input = rest;
            String::from_utf8(name.to_vec()).ok()?
        }
        _ => return None,
    };
    let address = format!("{host}:{}", u16::from_be_bytes(take(input)?));
    split_address(&address).ok()?;
    Some(address)
}

/// Multiplies by x in GF(32), x^5 = x^2 + 1. A sum of values times distinct powers of x changes
/// with any one value, and with any two that change places.
const fn times_x(value: u8) -> u8 {
    let shifted = value << 1;
    if shifted & 0x20 == 0 {
        shifted
    } else {
        (shifted ^ 0b10_0101) & 0x1f
    }
}

/// The check character of a row.
fn check(row: usize, symbols: &[u8]) -> u8 {
    let start = (row % 31 + 1) as u8;
    symbols
        .iter()
        .fold(start, |sum, symbol| times_x(sum ^ symbol))
}

fn write_rows(bytes: &[u8]) -> String {
    let mut symbols = Zeroizing::new(Vec::new());
    let (mut bits, mut held) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            symbols.push((bits >> held) as u8 & 0x1f);
        }
    }
    if held > 0 {
        symbols.push((bits << (5 - held)) as u8 & 0x1f);
    }
    let mut text = String::new();
    for (row, symbols) in symbols.chunks(ROW - 1).enumerate() {
        for symbol in symbols.iter().chain([&check(row, symbols)]) {
            text.push(char::from(ALPHABET[usize::from(*symbol)]));
        }
    }
    text
}

fn read_rows(typed: &str) -> Result<Zeroizing<Vec<u8>>, CodeError> {
    let mut symbols = Zeroizing::new(Vec::new());
    for letter in typed.chars() {
        let plain = match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        match ALPHABET
            .iter()
            .position(|known| char::from(*known) == plain)
        {
            Some(symbol) => symbols.push(symbol as u8),
            None if letter.is_whitespace() || letter == '-' => {}
            None => return Err(CodeError::Character(letter)),
        }
        if symbols.len() > ROW * ROWS_MAX {
            return Err(CodeError::Incomplete);
        }
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let (mut bits, mut held) = (0u32, 0);
    for (row, symbols) in symbols.chunks(ROW).enumerate() {
        let (last, symbols) = symbols.split_last().ok_or(CodeError::Incomplete)?;
        if check(row, symbols) != *last {
            return Err(CodeError::Row(row + 1));
        }
        for symbol in symbols {
            bits = bits << 5 | u32::from(*symbol);
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
    }
    Ok(bytes)
}

/// The code as people read it: a row a line, in groups.
#[must_use]
pub fn grouped(code: &Secret) -> Secret {
    let letters: Vec<char> = code.expose().chars().collect();
    let row = |row: &[char]| {
        let groups: Vec<String> = row
            .chunks(GROUP)
            .map(|group| group.iter().collect())
            .collect();
        groups.join("-")
    };
    let rows: Vec<String> = letters.chunks(ROW).map(row).collect();
    Secret::new(rows.join("\n"))
}

#[cfg(test)]
mod tests;
