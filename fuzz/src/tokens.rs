//! Bytes that stand for pieces of a protocol.

/// Bytes from here on stand for pieces; below they are themselves. UTF-8 beyond the Latin letters
/// comes in by pieces too.
pub const FIRST: u8 = 0x80;

/// The input with the pieces put in. A byte that stands for none is itself.
pub fn expand(input: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(input.len() * 2);
    for byte in input {
        let piece = byte
            .checked_sub(FIRST)
            .and_then(|at| pieces.get(usize::from(at)));
        match piece {
            Some(piece) => expanded.extend_from_slice(piece),
            None => expanded.push(*byte),
        }
    }
    expanded
}

/// The first bytes of an input choose, the rest is content.
pub fn split<const CHOICES: usize>(input: &[u8]) -> Option<([u8; CHOICES], &[u8])> {
    let (choices, content) = input.split_first_chunk::<CHOICES>()?;
    Some((*choices, content))
}
