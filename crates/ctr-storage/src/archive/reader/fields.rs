//! Numbers and names in a header block and in PAX records, read strictly.

use super::Block;

pub(super) fn field(block: &Block, at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Name and, in POSIX archives only, its prefix; GNU keeps other things there.
pub(super) fn ustar_name(header: &Block) -> Vec<u8> {
    let name = until_nul(field(header, 0, 100));
    let prefix = until_nul(field(header, 345, 155));
    if field(header, 257, 6) == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

/// Octal digits with spaces or zeros around; nothing at all is 0.
pub(super) fn octal(text: &[u8]) -> Option<u64> {
    let text = until_nul(text).trim_ascii();
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Seconds with a fraction, perhaps negative: `-12.5` is 13 s before 1970 and 500,000,000 ns after that.
pub(super) fn seconds(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text
        .strip_prefix(b"-")
        .map_or((false, text), |rest| (true, rest));
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(halves.next()?)?).ok()?;
    let mut nanos = 0_u32;
    if let Some(fraction) = halves.next() {
        let digits = fraction
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        if fraction.iter().any(|byte| !byte.is_ascii_digit()) {
            return None;
        }
        nanos = u32::try_from(decimal(&digits.collect::<Vec<u8>>())?).ok()?;
    }
    match (negative, nanos) {
        (false, _) => Some((whole, nanos)),
        (true, 0) => Some((-whole, 0)),
        (true, _) => Some((-whole - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(octal(b"0000644\0"), Some(0o644));
        assert_eq!(octal(b"  644 \0"), Some(0o644));
        assert_eq!(octal(b"\0\0"), Some(0));
        assert_eq!(octal(b"8"), None);
        assert_eq!(octal(b"-1"), None);
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(seconds(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(seconds(b"-12.5"), Some((-13, 500_000_000)));
        assert_eq!(seconds(b"1.1234567891"), Some((1, 123_456_789)));
        assert_eq!(seconds(b"1.x"), None);
    }
}
