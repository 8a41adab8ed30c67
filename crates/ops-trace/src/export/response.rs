//! Responses of a collector, read from the bytes of an `ExportTraceServiceResponse` (opentelemetry-proto 1.x).
//!
//! The responses of all signals have the same fields under the
//! same numbers. A property test compares the reader with prost.

/// Content type of requests and responses.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// Part of a batch that a collector rejected in a success response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialSuccess {
    pub(crate) rejected: i64,
    pub(crate) message: String,
}

/// Field of a message in the wire format.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Reads the rejected part: nothing if the response contains
/// none. Returns `None` if the response is not such a message.
pub(crate) fn read(mut answer: &[u8]) -> Option<PartialSuccess> {
    let mut partial = PartialSuccess::default();
    while !answer.is_empty() {
        match field(&mut answer)? {
            (1, Field::Bytes(inner)) => merge(&mut partial, inner)?,
            (1, _) => return None,
            _ => {}
        }
    }
    Some(partial)
}

fn merge(partial: &mut PartialSuccess, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (1, Field::Number(rejected)) => partial.rejected = rejected.cast_signed(),
            (2, Field::Bytes(text)) => partial.message = str::from_utf8(text).ok()?.to_owned(),
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    Some(())
}

/// Reads the message of a `google.rpc.Status`, the body of an error response
/// (OTLP/HTTP, "Failures"). The bytes after the message may be cut off.
pub(crate) fn message_of_status(mut answer: &[u8]) -> Option<&str> {
    let mut message = "";
    while let Some(field) = field(&mut answer) {
        if let (2, Field::Bytes(text)) = field {
            message = str::from_utf8(text).ok()?;
        }
    }
    (!message.is_empty()).then_some(message)
}

/// Takes one field with its number. Groups, which OTLP does not use, are not supported.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Field<'a>)> {
    let key = u32::try_from(varint(bytes)?).ok()?;
    let number = key >> 3;
    let field = match key & 7 {
        0 => Field::Number(varint(bytes)?),
        1 => bytes.split_off(..8).map(|_| Field::Fixed)?,
        2 => {
            let len = usize::try_from(varint(bytes)?).ok()?;
            Field::Bytes(bytes.split_off(..len)?)
        }
        5 => bytes.split_off(..4).map(|_| Field::Fixed)?,
        _ => return None,
    };
    (number != 0).then_some((number, field))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        let digit = u64::from(byte & 0x7f);
        // the tenth digit has room for one bit
        if shift == 63 && digit > 1 {
            return None;
        }
        number |= digit << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn by_prost(answer: &[u8]) -> Option<PartialSuccess> {
        let answer = ExportTraceServiceResponse::decode(answer).ok()?;
        let partial = answer.partial_success.unwrap_or_default();
        Some(PartialSuccess {
            rejected: partial.rejected_spans,
            message: partial.error_message,
        })
    }

    fn numbers() -> impl Strategy<Value = Vec<u8>> {
        let long = prop_oneof![any::<u64>(), 0..300_u64];
        long.prop_map(|number| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(number, &mut bytes);
            bytes
        })
    }

    /// Returns fields of all kinds except groups, some with a wrong kind or number, some truncated.
    fn messages(depth: u32) -> BoxedStrategy<Vec<u8>> {
        let inner = match depth {
            0 => vec(any::<u8>(), 0..20).boxed(),
            depth => messages(depth - 1),
        };
        let text = "\\PC{0,40}".prop_map(String::into_bytes);
        let bytes = prop_oneof![inner, text].prop_map(|bytes| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(bytes.len() as u64, &mut field);
            field.extend(bytes);
            field
        });
        let field = prop_oneof![
            numbers().prop_map(|bytes| (0_u32, bytes)),
            vec(any::<u8>(), 8).prop_map(|bytes| (1, bytes)),
            bytes.prop_map(|bytes| (2, bytes)),
            vec(any::<u8>(), 4).prop_map(|bytes| (5, bytes)),
        ];
        let number = prop_oneof![4 => 1..4_u32, 1 => 0..1_u32, 1 => any::<u32>()];
        let field = (number, field).prop_map(|(number, (wire, bytes))| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3 | u64::from(wire), &mut field);
            field.extend(bytes);
            field
        });
        let whole = vec(field, 0..4).prop_map(|fields| fields.concat());
        let cut = (whole.clone(), 0..200_usize).prop_map(|(mut bytes, len)| {
            bytes.truncate(len);
            bytes
        });
        prop_oneof![3 => whole, 1 => cut].boxed()
    }

    /// Reports whether there is a group, at any depth that prost
    /// decodes; the reader refuses groups, and prost skips them.
    fn has_group(mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let mut ahead = bytes;
            let Some(key) = varint(&mut ahead) else {
                return false;
            };
            if matches!(key & 7, 3 | 4) {
                return true;
            }
            match field(&mut bytes) {
                Some((1, Field::Bytes(inner))) if has_group(inner) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn an_answer_is_read_as_prost_reads_it(answer in messages(2)) {
            let answers = (read(&answer), by_prost(&answer));
            if !has_group(&answer) {
                prop_assert_eq!(answers.0, answers.1);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(answer in vec(any::<u8>(), 0..40)) {
            let answers = (read(&answer), by_prost(&answer));
            if !has_group(&answer) {
                prop_assert_eq!(answers.0, answers.1);
            }
        }
    }

    #[test]
    fn a_partial_success_says_how_many_and_why() {
        let said = [
            0x0a, 0x08, 0x08, 0x05, 0x12, 0x04, b'f', b'u', b'l', b'l', 0x18, 0x01,
        ];
        let partial = PartialSuccess {
            rejected: 5,
            message: "full".to_owned(),
        };
        assert_eq!(read(&said), Some(partial));
        assert_eq!(read(&[]), Some(PartialSuccess::default()));
        assert_eq!(read(b"<html>"), None);
    }
}
