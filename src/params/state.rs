//! States of a configuration, and tensors and states as bytes.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;

use super::config::{Config, Kind};
use super::state_dict::{StateDict, to_bytes};
use crate::error::{Error, Result};
use crate::tensor::{State, Tensor, copied};

impl State {
    /// Creates a zero state for `batch` rows: `[L·D, batch, features]`.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the product of the sizes overflows; [`Error::OutOfMemory`] when
    /// the host's memory does not hold the values.
    pub fn zeros(config: &Config, batch: usize) -> Result<Self> {
        let layers = config.num_layers.saturating_mul(config.num_directions());
        let zeros = |features| Tensor::zeros([layers, batch, features]);
        let c = (config.kind == Kind::Lstm).then(|| zeros(config.hidden_size)).transpose()?;
        Ok(Self { h: zeros(config.state_size())?, c })
    }

    /// Returns the state as bytes, for a file or another program: a safetensors file with `h` and,
    /// for an LSTM, `c`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold the bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let c = self.c.as_ref().map(|c| ("c", c));
        stored("state", &[Some(("h", &self.h)), c].into_iter().flatten().collect::<Vec<_>>())
    }

    /// Reads a state from [`to_bytes`](Self::to_bytes), or from a snapshot of a pool, bit for bit.
    ///
    /// # Errors
    /// [`Error::Option`] when the bytes are of another kind or damaged; [`Error::Shape`] when h and
    /// c do not fit each other; [`Error::OutOfMemory`] when the host's memory does not hold them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let [h, c] = loaded("state", bytes, ["h", "c"])?;
        Self::new(h.ok_or_else(|| refuse("state", "h is missing"))?, c)
    }
}

impl Tensor {
    /// Returns the tensor as bytes, for a file or another program: a safetensors file with
    /// `tensor`. Unlike JSON it keeps NaN and infinities.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold the bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        stored("tensor", &[("tensor", self)])
    }

    /// Reads a tensor from [`to_bytes`](Self::to_bytes), bit for bit.
    ///
    /// # Errors
    /// [`Error::Option`] when the bytes are of another kind or damaged; [`Error::OutOfMemory`] when
    /// the host's memory does not hold them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let [tensor] = loaded("tensor", bytes, ["tensor"])?;
        tensor.ok_or_else(|| refuse("tensor", "'tensor' is missing"))
    }
}

/// Returns the value of `format` in the metadata.
fn format_of(what: &str) -> String {
    format!("wgpu-rnn {what} 1")
}

fn refuse(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::Option(format!("not the bytes of a {what}: {reason}"))
}

/// Returns the bytes of named tensors.
fn stored(what: &str, tensors: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
    let format = HashMap::from([("format".to_owned(), format_of(what))]);
    to_bytes(Path::new(what), tensors, format)
}

/// Reads tensors by their names. Other names, types and formats are refused.
fn loaded<const N: usize>(
    what: &str,
    bytes: &[u8],
    names: [&str; N],
) -> Result<[Option<Tensor>; N]> {
    let reason = |error: Error| match error {
        Error::File { message, .. } => refuse(what, message),
        other => other,
    };
    let file = StateDict::parse(what, copied(bytes, what)?).map_err(reason)?;
    let (format, found) = (format_of(what), file.metadata("format").unwrap_or_default());
    if found != format {
        return Err(refuse(what, format_args!("its format is '{found}', expected '{format}'")));
    }
    if let Some(other) = file.names().find(|name| !names.contains(name)) {
        return Err(refuse(what, format_args!("'{other}' is unexpected")));
    }
    let mut tensors = [const { None }; N];
    for (tensor, name) in tensors.iter_mut().zip(names) {
        *tensor = match file.get(name).map(|entry| entry.dtype()) {
            None => None,
            Some(Dtype::F32) => Some(file.tensor(name).map_err(reason)?),
            Some(other) => {
                return Err(refuse(what, format_args!("'{name}' is {other}, expected F32")));
            }
        };
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::{State, Tensor};
    use crate::Config;

    fn state() -> State {
        let mut state = State::zeros(&Config::lstm(3, 4).proj_size(2), 5).expect("a small state");
        for (at, value) in state.h.data_mut().iter_mut().enumerate() {
            *value = f32::from_bits(0x7fc0_1234 ^ at as u32); // NaNs keep their bits
        }
        state
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        tensor.data().iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        let state = state();
        let read = State::from_bytes(&state.to_bytes().expect("a few bytes")).expect("its bytes");
        assert_eq!((bits(&read.h), read.h.shape()), (bits(&state.h), state.h.shape()));
        assert_eq!(read.c, state.c);
        let without = State::from(Tensor::zeros([1, 2]).expect("two values"));
        let bytes = without.to_bytes().expect("a few bytes");
        assert_eq!(State::from_bytes(&bytes).expect("its bytes"), without, "no c");
        for shape in [&[][..], &[0], &[2, 3]] {
            let tensor = Tensor::from_fn(shape, |at| at.iter().sum::<usize>() as f32);
            let tensor = tensor.expect("a small shape");
            let bytes = tensor.to_bytes().expect("a few bytes");
            assert_eq!(Tensor::from_bytes(&bytes).expect("its bytes"), tensor, "{shape:?}");
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let (state, tensor) = (state(), Tensor::from(vec![1.0, 2.0]));
        let state = state.to_bytes().expect("a few bytes");
        let tensor = tensor.to_bytes().expect("a few bytes");
        let error = |bytes: &[u8]| State::from_bytes(bytes).expect_err("refused").to_string();
        let other = error(&tensor);
        assert!(other.contains("'wgpu-rnn tensor 1', expected 'wgpu-rnn state 1'"), "{other}");
        Tensor::from_bytes(&state).expect_err("a state");
        for end in 0..state.len() {
            assert!(error(&state[..end]).starts_with("not the bytes of a state"), "{end}");
        }
        for (at, flip) in (0..state.len()).flat_map(|at| [(at, 1), (at, 0x80), (at, 0xff)]) {
            let mut damaged = state.clone();
            damaged[at] ^= flip;
            // Values may change. Nothing may panic, and the sizes must fit.
            if let Ok(read) = State::from_bytes(&damaged) {
                let values = read.h.shape().iter().product::<usize>();
                assert_eq!(read.h.data().len(), values, "byte {at}");
            }
        }
    }
}
