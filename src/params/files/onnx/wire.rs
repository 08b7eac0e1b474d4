//! Values on the wire: a reader that never leaves its bytes.

use rten_onnx::protobuf::{ErrorKind, OwnedValues, ProtobufError, ReadValue};

/// A position in bytes.
///
/// The reader of the library allocates any size that a file declares, steps outside of it, and
/// reads a number of ten or more bytes without end. This one does none of these.
#[derive(Debug, Clone)]
pub struct Wire<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the position in bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Returns the next bytes; `None` when there are fewer.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    /// Returns the next number; `None` when it does not end or exceeds 64 bits.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (index, byte) in self.bytes.get(self.at..)?.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Some(value);
            }
        }
        None
    }

    fn require(&mut self, count: usize) -> Result<&'a [u8], ProtobufError> {
        self.take(count).ok_or_else(end)
    }
}

fn end() -> ProtobufError {
    ProtobufError::new(ErrorKind::Eof)
}

impl ReadValue for Wire<'_> {
    type Types = OwnedValues;

    fn read_i32(&mut self) -> Result<i32, ProtobufError> {
        let bytes = self.take(4).and_then(<[u8]>::first_chunk).ok_or_else(end)?;
        Ok(i32::from_le_bytes(*bytes))
    }

    fn read_i64(&mut self) -> Result<i64, ProtobufError> {
        let bytes = self.take(8).and_then(<[u8]>::first_chunk).ok_or_else(end)?;
        Ok(i64::from_le_bytes(*bytes))
    }

    fn read_varint(&mut self) -> Result<u64, ProtobufError> {
        if self.at == self.bytes.len() {
            return Err(end());
        }
        self.varint().ok_or_else(|| ProtobufError::new(ErrorKind::InvalidVarint))
    }

    fn read_bytes(&mut self, count: usize) -> Result<Vec<u8>, ProtobufError> {
        Ok(self.require(count)?.to_vec())
    }

    fn read_string(&mut self, count: usize) -> Result<String, ProtobufError> {
        let text = std::str::from_utf8(self.require(count)?);
        Ok(text.map_err(|_| ProtobufError::new(ErrorKind::InvalidUtf8))?.to_owned())
    }

    fn skip(&mut self, count: usize) -> Result<(), ProtobufError> {
        self.require(count).map(drop)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;

    #[test]
    fn numbers_end_within_ten_bytes() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7];
        let mut wire = Wire::new(&most);
        assert_eq!((wire.varint(), wire.varint(), wire.varint()), (Some(u64::MAX), Some(7), None));
        for bytes in [&[0x80; 11][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(Wire::new(bytes).varint(), None, "{bytes:?}");
        }
        assert_eq!(Wire::new(&[0x80]).varint(), None, "it does not end");
        assert_eq!(Wire::new(&[1]).take(usize::MAX), None);
    }
}
