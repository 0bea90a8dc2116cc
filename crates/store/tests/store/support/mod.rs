//! Zip archives by hand, so that they can be as wrong as a stranger's.

use bytes::Bytes;

pub(crate) const FILE: u32 = 0o100_644;
pub(crate) const EXECUTABLE: u32 = 0o100_755;
pub(crate) const FOLDER: u32 = 0o040_755;
pub(crate) const LINK: u32 = 0o120_777;

const STORED: u16 = 0;
const UNIX: u8 = 3;

/// One entry, as its headers tell it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// The upper half of the external attributes.
    pub(crate) mode: u32,
    pub(crate) system: u8,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) crc: u32,
    /// What the headers claim, when it is not the truth.
    pub(crate) claimed_size: Option<u32>,
    /// The local header of another entry, by its index, instead of an own one.
    pub(crate) shares: Option<usize>,
}

#[must_use]
pub(crate) fn entry(name: impl AsRef<[u8]>, mode: u32, data: impl AsRef<[u8]>) -> Entry {
    let data = data.as_ref().to_vec();
    Entry {
        name: name.as_ref().to_vec(),
        crc: crc32(&data),
        data,
        mode,
        system: UNIX,
        method: STORED,
        flags: 0,
        claimed_size: None,
        shares: None,
    }
}

#[must_use]
pub(crate) fn file(name: &str, data: &str) -> Entry {
    entry(name, FILE, data)
}

#[must_use]
pub(crate) fn link(name: &str, target: &str) -> Entry {
    entry(name, LINK, target)
}

#[must_use]
pub(crate) fn zip(entries: &[Entry]) -> Bytes {
    let mut out = Vec::new();
    let mut offsets = Vec::new();
    for entry in entries {
        if let Some(other) = entry.shares {
            offsets.push(offsets[other]);
            continue;
        }
        offsets.push(u32::try_from(out.len()).unwrap());
        out.extend(b"PK\x03\x04\x14\x00");
        common(&mut out, entry);
        out.extend(&entry.name);
        out.extend(&entry.data);
    }
    let start = out.len();
    for (entry, offset) in entries.iter().zip(offsets) {
        out.extend(b"PK\x01\x02\x14");
        out.push(entry.system);
        out.extend(b"\x14\x00");
        common(&mut out, entry);
        out.extend([0; 2 + 2 + 2]); // comment, disk, internal attributes
        out.extend((entry.mode << 16).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(&entry.name);
    }
    let size = u32::try_from(out.len() - start).unwrap();
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(u32::try_from(start).unwrap().to_le_bytes());
    out.extend([0; 2]);
    out.into()
}

/// From the flags to the length of the extra field, in the local and in the central header.
fn common(out: &mut Vec<u8>, entry: &Entry) {
    let length = u32::try_from(entry.data.len()).unwrap();
    out.extend(entry.flags.to_le_bytes());
    out.extend(entry.method.to_le_bytes());
    out.extend([0x00, 0x60, 0x21, 0x58]); // 2024-01-01 12:00
    out.extend(entry.crc.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(entry.claimed_size.unwrap_or(length).to_le_bytes());
    out.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
    out.extend([0; 2]);
}

#[must_use]
pub(crate) fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    };
    !data.iter().fold(!0, step)
}
