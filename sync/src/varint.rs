//! Variable-length integers: LEB128, as in WebAssembly and protobuf, with zigzag for signed ones.
//!
//! One value has one encoding: a longer form of the same number is refused, so that equal changes
//! have equal bytes and equal hashes.

/// Appends `value`, 1 to 10 bytes.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value`, 1 to 10 bytes, small magnitudes short.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Takes a value off the front of `input`; `None` when it is cut, too long or not canonical.
pub fn take_u64(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return None;
            }
            *input = input.get(index + 1..)?;
            return Some(value);
        }
    }
    None
}

/// The signed counterpart of [`take_u64`].
pub fn take_i64(input: &mut &[u8]) -> Option<i64> {
    let raw = take_u64(input)?;
    Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn longer_forms_and_cut_input_are_refused() {
        for bytes in [&[0x80][..], &[0x80, 0x00], &[], &[0xff; 11], &[0xff; 10]] {
            assert_eq!(take_u64(&mut &*bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn unsigned_round_trip(value: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, value);
            bytes.extend(&tail);
            let mut input = bytes.as_slice();
            prop_assert_eq!(take_u64(&mut input), Some(value));
            prop_assert_eq!(input, tail);
        }

        #[test]
        fn signed_round_trip(value: i64) {
            let mut bytes = Vec::new();
            put_i64(&mut bytes, value);
            prop_assert_eq!(take_i64(&mut bytes.as_slice()), Some(value));
        }
    }
}
