//! Encoding of a result as the bytes of an object.
//!
//! ```text
//! 8 bytes   magic: format, and which kind of seal
//! 4 bytes   length of the metadata, little endian
//! 8 bytes   length of the payload, little endian
//!           metadata: JSON
//!           payload: Parquet or an Arrow IPC stream
//! 32 bytes  seal over a label, the object's name and everything above
//! ```

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::Format;
use crate::key::Key;

const KEYED: &[u8; 8] = b"DCACHEk1";
const UNKEYED: &[u8; 8] = b"DCACHEu1";
const LABEL: &[u8] = b"data-cache/shared/1";
const HEAD: usize = 20;
const SEAL: usize = 32;
/// Name under which notes are sealed; no result has it.
const NOTE: Key = Key::from_bytes([0; 32]);
/// Maximum size of metadata in bytes; longer metadata is invalid.
const MAX_METADATA: usize = 4096;

/// Proof that an object was written by a machine with the key, under this name.
pub(super) enum Seal {
    /// HMAC-SHA-256.
    Keyed(Box<Hmac<Sha256>>),
    /// SHA-256: detects bit rot, not forgery.
    Unkeyed,
}

/// Metadata of a result. Neither its SQL nor its parameters leave the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Seconds since 1970, by the clock of the machine that computed it.
    pub(super) created_at: u64,
    pub(super) ttl_seconds: u64,
    pub(super) compute_ms: u64,
    pub(super) rows: u64,
    pub(super) codec: Format,
}

impl Seal {
    /// Creates a seal from a key of any length; callers check the minimum length.
    pub(super) fn keyed(key: &[u8]) -> Option<Self> {
        let mac = Hmac::new_from_slice(key).ok()?;
        Some(Self::Keyed(Box::new(mac)))
    }

    fn magic(&self) -> &'static [u8; 8] {
        match self {
            Self::Keyed(_) => KEYED,
            Self::Unkeyed => UNKEYED,
        }
    }

    fn of(&self, key: &Key, frame: &[u8]) -> [u8; SEAL] {
        match self {
            Self::Keyed(mac) => mac_of(mac, key, frame).finalize().into_bytes().into(),
            Self::Unkeyed => {
                let mut digest = Sha256::new_with_prefix(LABEL);
                digest.update(key.bytes());
                digest.update(frame);
                digest.finalize().into()
            }
        }
    }

    fn is_of(&self, seal: &[u8], key: &Key, frame: &[u8]) -> bool {
        match self {
            // in constant time
            Self::Keyed(mac) => mac_of(mac, key, frame).verify_slice(seal).is_ok(),
            Self::Unkeyed => self.of(key, frame) == seal,
        }
    }

    /// Returns the object of a result under this name; `None` if it cannot be encoded.
    pub(super) fn close(&self, key: &Key, head: &Head, payload: &[u8]) -> Option<Vec<u8>> {
        let head = serde_json::to_vec(head).ok()?;
        let mut frame = Vec::with_capacity(HEAD + head.len() + payload.len() + SEAL);
        frame.extend_from_slice(self.magic());
        frame.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        frame.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        frame.extend_from_slice(&head);
        frame.extend_from_slice(payload);
        let seal = self.of(key, &frame);
        frame.extend_from_slice(&seal);
        Some(frame)
    }

    /// Returns a note followed by its seal.
    pub(super) fn close_note(&self, text: &[u8]) -> Vec<u8> {
        [text, &self.of(&NOTE, text)].concat()
    }

    /// Returns the text of a note if its seal is valid.
    pub(super) fn open_note<'a>(&self, note: &'a [u8]) -> Option<&'a [u8]> {
        let (text, seal) = note.split_at_checked(note.len().checked_sub(SEAL)?)?;
        self.is_of(seal, &NOTE, text).then_some(text)
    }

    /// Returns the parts of an object if it was sealed under this name and all of its bytes are unchanged.
    pub(super) fn open(&self, key: &Key, object: &Bytes) -> Option<(Head, Bytes)> {
        let frame_len = object.len().checked_sub(SEAL)?;
        let (frame, seal) = object.split_at_checked(frame_len)?;
        if frame.get(..8)? != self.magic() || !self.is_of(seal, key, frame) {
            return None;
        }
        let head_len = u32::from_le_bytes(frame.get(8..12)?.try_into().ok()?);
        let head_len = usize::try_from(head_len).ok()?;
        let payload_len = u64::from_le_bytes(frame.get(12..HEAD)?.try_into().ok()?);
        let payload_at = HEAD.checked_add(head_len)?;
        let payload_end = payload_at.checked_add(usize::try_from(payload_len).ok()?)?;
        if head_len > MAX_METADATA || payload_end != frame_len {
            return None;
        }
        let head = serde_json::from_slice(frame.get(HEAD..payload_at)?).ok()?;
        Some((head, object.slice(payload_at..payload_end)))
    }
}

fn mac_of(mac: &Hmac<Sha256>, key: &Key, frame: &[u8]) -> Hmac<Sha256> {
    let mut mac = mac.clone();
    mac.update(LABEL);
    mac.update(key.bytes());
    mac.update(frame);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            created_at: 1_700_000_000,
            ttl_seconds: 3600,
            compute_ms: 250,
            rows: 3,
            codec: Format::Parquet,
        }
    }

    fn seals() -> [Seal; 2] {
        [Seal::keyed(&[7; 32]).unwrap(), Seal::Unkeyed]
    }

    const NAME: Key = Key::from_bytes([1; 32]);

    #[test]
    fn an_object_is_read_as_it_was_written() {
        for seal in seals() {
            for payload in [&b""[..], b"PAR1", &[0xff; 70_000]] {
                let object = seal.close(&NAME, &head(), payload).unwrap().into();
                let (found, bytes) = seal.open(&NAME, &object).unwrap();
                assert_eq!((found, &bytes[..]), (head(), payload));
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for seal in seals() {
            let object = seal.close(&NAME, &head(), b"some payload").unwrap();
            for bit in 0..object.len() * 8 {
                let mut flipped = object.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(seal.open(&NAME, &flipped.into()).is_none(), "bit {bit}");
            }
        }
    }

    #[test]
    fn an_object_that_is_cut_or_longer_is_refused() {
        for seal in seals() {
            let object = Bytes::from(seal.close(&NAME, &head(), b"some payload").unwrap());
            for length in 0..object.len() {
                assert!(seal.open(&NAME, &object.slice(..length)).is_none());
                assert!(
                    seal.open(&NAME, &object.slice(object.len() - length..))
                        .is_none()
                );
            }
            let longer = [&object[..], b"\0"].concat();
            assert!(seal.open(&NAME, &longer.into()).is_none());
        }
    }

    #[test]
    fn an_object_under_another_name_or_another_key_is_refused() {
        for seal in seals() {
            let object = Bytes::from(seal.close(&NAME, &head(), b"some payload").unwrap());
            assert!(seal.open(&Key::from_bytes([2; 32]), &object).is_none());
            let other = Seal::keyed(&[8; 32]).unwrap();
            assert!(other.open(&NAME, &object).is_none());
        }
        let [keyed, unkeyed] = seals();
        let object = unkeyed.close(&NAME, &head(), b"some payload").unwrap();
        assert!(keyed.open(&NAME, &object.into()).is_none());
        let object = keyed.close(&NAME, &head(), b"some payload").unwrap();
        assert!(unkeyed.open(&NAME, &object.into()).is_none());
    }

    #[test]
    fn a_note_is_read_by_those_who_have_the_key() {
        for seal in seals() {
            let note = seal.close_note(b"a 1");
            assert_eq!(seal.open_note(&note), Some(&b"a 1"[..]));
            assert_eq!(seal.open_note(&note[1..]), None);
            let other = Seal::keyed(&[8; 32]).unwrap();
            assert_eq!(other.open_note(&note), None);
        }
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused_though_they_are_sealed() {
        let seal = Seal::keyed(&[7; 32]).unwrap();
        let object = seal.close(&NAME, &head(), b"some payload").unwrap();
        for (at, byte) in [(8, 0), (8, 255), (11, 255), (12, 0), (12, 255), (19, 255)] {
            let mut frame = object[..object.len() - SEAL].to_vec();
            frame[at] = byte;
            let tag = seal.of(&NAME, &frame);
            frame.extend_from_slice(&tag);
            assert!(seal.open(&NAME, &frame.into()).is_none(), "{at} {byte}");
        }
    }
}
