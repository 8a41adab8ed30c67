/// Types of the frames that carry heads, and the flag that ends one (RFC 9113, sections 6.2 and 6.10).
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Boundaries of the HTTP/2 frames that a client sends: enough to tell a half-sent head from an idle connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 9],
    /// Bytes of the frame's own head that arrived.
    have: usize,
    payload_left: usize,
    /// HEADERS arrived without END_HEADERS.
    continued: bool,
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let taken = self.payload_left.min(bytes.len());
                self.payload_left -= taken;
                bytes = &bytes[taken..];
            } else {
                let taken = (self.head.len() - self.have).min(bytes.len());
                self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have < self.head.len() {
                    return;
                }
                let [high, middle, low, ..] = self.head;
                self.payload_left =
                    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if self.carries_head() {
                    self.continued = self.head[4] & END_HEADERS == 0;
                }
            }
            if self.payload_left == 0 {
                self.have = 0;
            }
        }
    }

    /// Reports if the client began a head, or a frame that may be one, and did not finish it.
    pub(super) fn is_in_head(&self) -> bool {
        let in_frame_head = self.have > 0 && self.have < self.head.len();
        self.continued || in_frame_head || (self.payload_left > 0 && self.carries_head())
    }

    fn carries_head(&self) -> bool {
        matches!(self.head[3], HEADERS | CONTINUATION)
    }
}
