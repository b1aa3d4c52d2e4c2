//! What people call the nodes of a network.

use super::text::{self, Invalid};

/// Length of a node's id in hexadecimal digits.
const ID_CHARS: usize = 32;

/// A name of a node: a line that nobody takes for another way to name one, its number, id or address.
///
/// # Errors
/// When it is no [`text::line`], or looks like one of those.
pub fn node_name(value: &str) -> Result<String, Invalid> {
    let name = text::line(value)?;
    let all = |what: fn(char) -> bool| name.chars().all(what);
    if all(|c| c.is_ascii_digit()) {
        return Err(Invalid::new(
            "must hold more than digits, which would be taken for a node's number",
            "debe tener algo más que cifras",
        ));
    }
    if name.len() == ID_CHARS && all(|c| c.is_ascii_hexdigit()) {
        return Err(Invalid::new(
            "looks like the id of a node: choose another one",
            "parece el identificador de un puesto",
        ));
    }
    if name.contains(':') {
        return Err(Invalid::new(
            "must not hold a colon, which would make it an address",
            "no puede tener dos puntos",
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_numbers_ids_and_addresses() {
        for name in ["consultorio-2", " Recepción ", "2b", "pi.local"] {
            assert_eq!(node_name(name).as_deref(), Ok(name.trim()));
        }
        let id = "0a1b2c3d".repeat(4);
        for wrong in ["", "7", "10.0.0.7:8444", id.as_str(), "a\u{1b}b"] {
            assert!(node_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
