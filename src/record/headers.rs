//! Record headers whose names may be any bytes.
//!
//! The client library's own accessors panic on a name that is not UTF-8, which Kafka allows (its protocol says string,
//! but no broker checks), and it adds none. So names are read and written here, by librdkafka itself.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_header_get_all, rd_kafka_header_remove, rd_kafka_headers_t};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::types::RDKafkaRespErr;

/// All headers in order: name and value, both as bytes.
pub fn iter(headers: &OwnedHeaders) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    (0..).map_while(move |index| get(headers, index))
}

/// The value of the last header of this name.
#[must_use]
pub fn last<'a>(headers: &'a OwnedHeaders, name: &str) -> Option<&'a [u8]> {
    iter(headers).filter(|(candidate, _)| *candidate == name.as_bytes()).last()?.1
}

/// The first name that is not UTF-8.
#[must_use]
pub fn first_name_not_utf8(headers: &OwnedHeaders) -> Option<&[u8]> {
    iter(headers).map(|(name, _)| name).find(|name| std::str::from_utf8(name).is_err())
}

/// The headers with `name` set to `value` and at its end, whatever it was before (nothing, too), and the others as they
/// were.
#[must_use]
pub fn replace(headers: Option<OwnedHeaders>, name: &str, value: &[u8]) -> OwnedHeaders {
    without(headers.unwrap_or_default(), |other| other == name.as_bytes())
        .insert(Header { key: name, value: Some(value) })
}

/// The header that every output record has: `TOPIC-PARTITION-OFFSET` of the input record that it came of. It is the same
/// however often the record is written, so readers outside of transactions can tell repetitions (G-9).
pub const RECORD_ID: &str = "tagbert.record.id";

/// The header of a dead letter that has the record's timestamp, if the dead letter has another one.
pub const TIMESTAMP: &str = "tagbert.timestamp";

/// The header of a dead letter that says how often the stage tried, in decimal.
pub const ATTEMPTS: &str = "tagbert.attempts";

/// The header that a replayed record has beside its own: how often it was replayed, in decimal.
pub const REPLAY_ATTEMPT: &str = "tagbert.replay.attempt";

/// The headers that a tag may be in: what it says, its score, and those of other labels.
#[must_use]
pub fn of_tag(tag: &str) -> [String; 3] {
    ["", ".score", ".scores"].map(|part| format!("tagbert.{tag}{part}"))
}

/// The columns that a tag may be in (`output.shape: flat`), for the same three.
#[must_use]
pub fn columns_of_tag(tag: &str) -> [String; 3] {
    ["", "_score", "_scores"].map(|part| format!("tags_{tag}{part}"))
}

/// The headers with the record's id.
#[must_use]
pub fn with_record_id(headers: Option<OwnedHeaders>, id: &str) -> OwnedHeaders {
    // What is here may have come through tagbert before.
    replace(headers, RECORD_ID, id.as_bytes())
}

/// The headers without those whose names are unwanted, the others as they were, in whatever bytes.
#[must_use]
#[expect(unsafe_code, reason = "the client library has no safe way to remove a header")]
pub fn without(headers: OwnedHeaders, unwanted: impl Fn(&[u8]) -> bool) -> OwnedHeaders {
    let names = iter(&headers).map(|(name, _)| name).filter(|name| unwanted(name));
    let names: BTreeSet<CString> = names.filter_map(|name| CString::new(name).ok()).collect();
    let native = native(&headers);
    for name in names {
        // SAFETY: as in `get`; `headers` is owned, and nothing that was read of it is held any more.
        unsafe { rd_kafka_header_remove(native, name.as_ptr()) };
    }
    headers
}

/// The headers with one more at their end, whose name may be any bytes.
#[must_use]
#[expect(unsafe_code, reason = "the client library adds no header whose name is not UTF-8")]
pub fn add(headers: OwnedHeaders, name: &[u8], value: Option<&[u8]>) -> OwnedHeaders {
    let (bytes, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    // SAFETY: as in `without`; librdkafka copies as many bytes of name and value as it is told.
    let error = unsafe {
        rd_kafka_header_add(native(&headers), name.as_ptr().cast(), name.len() as isize, bytes.cast(), size as isize)
    };
    debug_assert_eq!(error, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "owned headers can be written");
    headers
}

/// A `&BorrowedHeaders` is librdkafka's pointer itself: that is how rdkafka makes one.
fn native(headers: &OwnedHeaders) -> *mut rd_kafka_headers_t {
    ptr::from_ref(headers.as_borrowed()).cast_mut().cast()
}

#[expect(unsafe_code, reason = "the safe accessor panics on a name that is not UTF-8")]
fn get(headers: &OwnedHeaders, index: usize) -> Option<(&[u8], Option<&[u8]>)> {
    let native = native(headers);
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: `native` is valid as long as `headers` is; the results point into it and are bound to its lifetime.
    unsafe {
        if rd_kafka_header_get_all(native, index, &raw mut name, &raw mut value, &raw mut size)
            != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return None;
        }
        let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
        Some((CStr::from_ptr(name).to_bytes(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_come_back_as_they_went_in() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "a", value: Some("1") })
            .insert(Header { key: "a", value: Some("2") })
            .insert(Header::<&str> { key: "é", value: None });
        let all: Vec<_> = iter(&headers).collect();
        assert_eq!(all, [(&b"a"[..], Some(&b"1"[..])), (b"a", Some(b"2")), ("é".as_bytes(), None)]);
        assert_eq!(last(&headers, "a"), Some(&b"2"[..]));
        assert_eq!(last(&headers, "b"), None);
        assert_eq!(first_name_not_utf8(&headers), None);
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_added_as_it_is() {
        let headers = add(OwnedHeaders::new(), b"\xff", Some(b"1"));
        let headers = add(add(headers, b"b", None), b"c", Some(b""));
        let all: Vec<_> = iter(&headers).collect();
        assert_eq!(all, [(&b"\xff"[..], Some(&b"1"[..])), (b"b", None), (b"c", Some(b""))]);
        assert_eq!(first_name_not_utf8(&headers), Some(&b"\xff"[..]));
    }

    #[test]
    fn replacing_keeps_the_others_in_order() {
        let headers = ["a", "b", "c"].map(|key| Header { key, value: Some("1") });
        let headers = headers.into_iter().fold(OwnedHeaders::new(), OwnedHeaders::insert);
        let replaced = replace(Some(headers), "b", b"2");
        let all: Vec<_> = iter(&replaced).filter_map(|(name, value)| Some((name[0], value?[0]))).collect();
        assert_eq!(all, [(b'a', b'1'), (b'c', b'1'), (b'b', b'2')]);
    }

    #[test]
    fn a_header_without_a_value_is_replaced_like_any_other() {
        let headers = OwnedHeaders::new()
            .insert(Header::<&str> { key: "traceparent", value: None })
            .insert(Header { key: "a", value: Some("1") })
            .insert(Header { key: "traceparent", value: Some("2") })
            .insert(Header::<&str> { key: "traceparent", value: None });
        let replaced = replace(Some(headers), "traceparent", b"3");
        let all: Vec<_> = iter(&replaced).collect();
        assert_eq!(all, [(&b"a"[..], Some(&b"1"[..])), (b"traceparent", Some(b"3"))]);
    }

    #[test]
    fn what_is_unwanted_goes_and_the_rest_stays_as_it_was() {
        let headers = [("a", Some("1")), ("x", Some("2")), ("b", None), ("x", Some("")), ("a", Some("3"))];
        let headers = headers.map(|(key, value)| Header { key, value });
        let headers = headers.into_iter().fold(OwnedHeaders::new(), OwnedHeaders::insert);
        let kept = without(headers, |name| name == b"x");
        let kept: Vec<_> = iter(&kept).collect();
        assert_eq!(kept, [(&b"a"[..], Some(&b"1"[..])), (b"b", None), (b"a", Some(b"3"))]);
    }
}
