//! A record as the library holds it.
#![allow(
    unsafe_code,
    reason = "rust-rdkafka gives no access to records that come in batches: these are the library's own structs"
)]

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::slice;

use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_timestamp_type_t as Kind;
use rdkafka::types::RDKafkaRespErr;

/// A record that has not been given back to the library.
#[derive(Clone, Copy)]
pub struct Fetched<'a> {
    message: NonNull<native::rd_kafka_message_t>,
    kept: PhantomData<&'a native::rd_kafka_message_t>,
}

impl<'a> Fetched<'a> {
    /// # Safety
    /// The library has given `message`, without an error, and is not given it back for as long as `'a` lasts. One thread
    /// uses it.
    pub(super) unsafe fn new(message: NonNull<native::rd_kafka_message_t>) -> Self {
        Self {
            message,
            kept: PhantomData,
        }
    }

    fn get(&self) -> &'a native::rd_kafka_message_t {
        // SAFETY: it is there for 'a, by the condition of `new`.
        unsafe { self.message.as_ref() }
    }

    /// # Safety
    /// `start` is null, or so many bytes begin there that the library neither changes nor frees before the message.
    unsafe fn bytes(start: *const c_void, length: usize) -> Option<&'a [u8]> {
        if start.is_null() {
            return None;
        }
        // SAFETY: they are there for 'a, by the conditions of this function and of `new`.
        Some(unsafe { slice::from_raw_parts(start.cast(), length) })
    }

    pub(super) fn topic(&self) -> String {
        // SAFETY: a record has a topic, and a topic has a name.
        let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.get().rkt)) };
        name.to_string_lossy().into_owned()
    }

    pub(super) fn partition(&self) -> i32 {
        self.get().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.get().offset
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is there, and so is the place for the kind of time.
        let time = unsafe { native::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) };
        (kind != Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time != -1).then_some(time)
    }

    pub(super) fn key(&self) -> Option<&'a [u8]> {
        let message = self.get();
        // SAFETY: where the library says that the key is, which belongs to the message.
        unsafe { Self::bytes(message.key, message.key_len) }
    }

    pub(super) fn payload(&self) -> Option<&'a [u8]> {
        let message = self.get();
        // SAFETY: where the library says that the value is, which belongs to the message.
        unsafe { Self::bytes(message.payload, message.len) }
    }

    /// Tells each header until `take` breaks. Those whose name is no text are left out.
    pub(super) fn each_header(
        &self,
        mut take: impl FnMut(&'a str, Option<&'a [u8]>) -> ControlFlow<()>,
    ) {
        let mut all = ptr::null_mut();
        // SAFETY: the message is there, and is used by this thread alone, so the library may keep the list with it that it makes
        // when it is asked first.
        let found = unsafe { native::rd_kafka_message_headers(self.message.as_ptr(), &mut all) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for n in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is there, and an index behind its end is told to be none.
            let found = unsafe {
                native::rd_kafka_header_get_all(all, n, &mut name, &mut value, &mut length)
            };
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: the library ends names with a zero, and keeps both for as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), Self::bytes(value, length)) };
            if let Ok(name) = name.to_str()
                && take(name, value).is_break()
            {
                return;
            }
        }
    }
}
