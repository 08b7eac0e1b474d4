//! Calls that run in promises.

use std::pin::Pin;
use std::rc::Rc;

use js_sys::Promise;
use tokio::sync::Mutex;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::error::Result;

/// A call in a promise.
pub type Call = Pin<Box<dyn Future<Output = Result<JsValue>>>>;

/// Starts a call and returns the promise of its result.
pub fn promise<T: Into<JsValue>>(call: impl Future<Output = Result<T>> + 'static) -> Promise {
    start(Box::pin(async move { Ok(call.await?.into()) }))
}

/// Starts a call in a box: all calls share the code around them.
fn start(call: Call) -> Promise {
    future_to_promise(async move { Ok(call.await?) })
}

/// A value that calls use one after the other, in the order of the calls.
///
/// The mutex serves in the order in which futures are first polled. Promises poll theirs in the
/// order in which they were made.
pub struct InOrder<T>(Rc<Mutex<T>>);

impl<T: 'static> InOrder<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Rc::new(Mutex::new(value)))
    }

    /// Starts a call and returns the promise of its result.
    pub fn promise<R: Into<JsValue>>(
        &self,
        call: impl AsyncFnOnce(&mut T) -> Result<R> + 'static,
    ) -> Promise {
        let value = Rc::clone(&self.0);
        promise(async move { call(&mut *value.lock().await).await })
    }
}
