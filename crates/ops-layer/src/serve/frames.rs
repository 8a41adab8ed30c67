use std::ops::Range;

/// Types of the frames that carry heads, and the flag that ends a head (RFC 9113, sections 6.2 and 6.10).
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
/// Type of a PING frame, and the flag of its acknowledgment (section 6.7).
const PING: u8 = 0x6;
const ACK: u8 = 0x1;

/// Boundaries of the HTTP/2 frames that a client sends: enough
/// to distinguish an incomplete head from an idle connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 9],
    /// Number of bytes of the frame header that arrived.
    have: usize,
    payload_left: usize,
    /// HEADERS arrived without END_HEADERS.
    continued: bool,
}

impl Frames {
    /// Reads the bytes that the client sent; returns the range of a complete PING acknowledgment in them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let (mut at, mut pong) = (0, None);
        while at < bytes.len() {
            if self.payload_left > 0 {
                let taken = self.payload_left.min(bytes.len() - at);
                self.payload_left -= taken;
                at += taken;
            } else {
                let taken = (self.head.len() - self.have).min(bytes.len() - at);
                self.head[self.have..self.have + taken].copy_from_slice(&bytes[at..at + taken]);
                self.have += taken;
                at += taken;
                if self.have < self.head.len() {
                    break;
                }
                let [high, middle, low, ..] = self.head;
                self.payload_left =
                    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if self.carries_head() {
                    self.continued = self.head[4] & END_HEADERS == 0;
                }
                let end = at + self.payload_left;
                if self.answers_ping() && at >= self.head.len() && end <= bytes.len() {
                    pong = Some(at - self.head.len()..end);
                }
            }
            if self.payload_left == 0 {
                self.have = 0;
            }
        }
        pong
    }

    /// Returns whether another frame may start here.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && !self.continued
    }

    /// Returns whether the client began a head, or a frame that may be one, and did not finish it.
    pub(super) fn is_in_head(&self) -> bool {
        let in_frame_head = self.have > 0 && self.have < self.head.len();
        self.continued || in_frame_head || (self.payload_left > 0 && self.carries_head())
    }

    fn answers_ping(&self) -> bool {
        self.head[3] == PING && self.head[4] & ACK != 0
    }

    fn carries_head(&self) -> bool {
        matches!(self.head[3], HEADERS | CONTINUATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn the_answer_to_a_ping_is_found_among_other_frames_if_it_is_whole() {
        let mut bytes = frame(HEADERS, END_HEADERS, &[7; 20]);
        let pong = bytes.len()..bytes.len() + 17;
        bytes.extend(frame(PING, ACK, &[1; 8]));
        bytes.extend(frame(0, 0, &[PING; 40]));
        assert_eq!(Frames::default().read(&bytes), Some(pong.clone()));
        for cut in pong.clone().skip(1) {
            let mut frames = Frames::default();
            assert_eq!(frames.read(&bytes[..cut]), None, "{cut}");
            assert!(!frames.is_between());
            assert_eq!(frames.read(&bytes[cut..]), None, "{cut}");
            assert!(frames.is_between());
        }
        assert_eq!(Frames::default().read(&frame(PING, 0, &[1; 8])), None);
    }

    #[test]
    fn no_frame_may_stand_within_another_or_before_the_rest_of_a_head() {
        let mut frames = Frames::default();
        frames.read(&frame(HEADERS, 0, &[7; 3]));
        assert!(!frames.is_between() && frames.is_in_head());
        let rest = frame(CONTINUATION, END_HEADERS, &[7; 3]);
        frames.read(&rest[..10]);
        assert!(!frames.is_between());
        frames.read(&rest[10..]);
        assert!(frames.is_between() && !frames.is_in_head());
    }
}
