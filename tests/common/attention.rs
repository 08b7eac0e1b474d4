//! Fixtures of decoders with attention, and their checks on a device.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::path::Path;

use wgpu_rnn::network::{Attention, NetworkStream, Sequential};
use wgpu_rnn::{Device, State, StateDict, Tensor};

use crate::chains::same_bits;
use crate::networks::files;

/// One decoder with PyTorch's results.
pub struct Decoder {
    pub name: String,
    file: StateDict,
    definition: Sequential,
    memory: Tensor,
    lengths: Vec<usize>,
    state: State,
    start: Vec<i64>,
    /// `[N, B, V]`.
    logits: Tensor,
    /// `[N][B]`.
    tokens: Vec<Vec<i64>>,
    atol: f32,
}

/// All fixtures of decoders.
pub fn decoders() -> Vec<Decoder> {
    files("attention").iter().map(|path| Decoder::open(path)).collect()
}

impl Decoder {
    fn open(path: &Path) -> Self {
        let file = StateDict::open(path).unwrap_or_else(|error| panic!("{error}"));
        let text = |key: &str| file.metadata(key).unwrap_or_else(|| panic!("{path:?} lacks {key}"));
        let network = Sequential::tokens().embedding("embedding.");
        let attention = match text("score") {
            "dot" => Attention::dot(),
            "general" => Attention::general("attn.attn."),
            "concat" => Attention::concat("attn.attn.", "attn.v"),
            _ => Attention::additive("attention.Wa.", "attention.Ua.", "attention.Va.weight"),
        };
        let definition = match text("decoder") {
            "luong" => network
                .rnn("rnn.")
                .name("output")
                .attention(attention)
                .name("context")
                .concat(["output", "context"])
                .linear("concat.")
                .tanh()
                .linear("out."),
            _ => network
                .name("token")
                .hidden("rnn.")
                .attention(attention)
                .name("context")
                .concat(["token", "context"])
                .rnn("rnn.")
                .linear("out."),
        };
        let tensor = |name: &str| file.tensor(name).unwrap_or_else(|error| panic!("{error}"));
        let integers = |name: &str| file.i64(name).unwrap_or_else(|error| panic!("{error}"));
        let lengths: Vec<usize> = integers("lengths").iter().map(|&l| l as usize).collect();
        let batch = lengths.len();
        let c = file.get("c0").map(|_| tensor("c0"));
        let start = vec![text("start").parse().expect("a token"); batch];
        let tokens = integers("tokens").chunks(batch).map(<[i64]>::to_vec).collect();
        Self {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            memory: tensor("memory"),
            lengths,
            state: State { h: tensor("h0"), c },
            start,
            logits: tensor("logits"),
            tokens,
            atol: text("atol").parse().expect("a number"),
            definition,
            file,
        }
    }

    /// Opens the decoder on a device, from PyTorch's first state.
    pub fn load(&self, device: &Device) -> Result<NetworkStream, wgpu_rnn::Error> {
        let network = self.definition.load(device, &self.file, "model.")?;
        let mut stream = network.decoder(&self.memory, Some(&self.lengths))?;
        stream.set_state_of("rnn.", &self.state)?;
        Ok(stream)
    }

    /// The decoder gives PyTorch's logits for PyTorch's tokens, and writes these tokens.
    pub fn check(&self, device: &Device) -> Result<(), String> {
        let failed = |error: wgpu_rnn::Error| format!("{}: {error}", self.name);
        let mut stream = self.load(device).map_err(failed)?;
        if stream.state_of("rnn.").map_err(failed)? != self.state {
            return Err(format!("{}: the state that was set is another", self.name));
        }
        let batch = self.start.len();
        let steps = self.tokens.len();
        let read: Vec<i64> =
            self.start.iter().chain(self.tokens[..steps - 1].iter().flatten()).copied().collect();
        let logits = stream.forward_tokens(&read, &[steps, batch]).map_err(failed)?;
        if logits.shape() != self.logits.shape() {
            return Err(format!("{}: logits of shape {:?}", self.name, logits.shape()));
        }
        let differences = logits.data().iter().zip(self.logits.data());
        let allowed = self.atol.max(1e-5);
        for (at, (got, want)) in differences.enumerate() {
            if (got - want).abs() > allowed || got.is_nan() {
                return Err(format!("{}: logit {at} is {got}, want {want}", self.name));
            }
        }
        let last = stream.state().map_err(failed)?;
        let mut stream = self.load(device).map_err(failed)?;
        let tokens = stream.greedy(&self.start, steps).map_err(failed)?;
        if tokens != self.tokens {
            return Err(format!("{}: wrote {tokens:?}, want {:?}", self.name, self.tokens));
        }
        let state = stream.state().map_err(failed)?;
        same_bits(&self.name, state.data(), last.data())?;
        // In parts of odd and even lengths, with steps between.
        let mut stream = self.load(device).map_err(failed)?;
        let mut written = stream.greedy(&self.start, 3).map_err(failed)?;
        let next = stream.forward_tokens(&written[2], &[1, batch]).map_err(failed)?;
        let columns = next.data().len() / batch;
        same_bits(
            &self.name,
            next.data(),
            &logits.data()[3 * batch * columns..][..batch * columns],
        )?;
        written.push(self.tokens[3].clone());
        written.extend(stream.greedy(&self.tokens[3], steps - 4).map_err(failed)?);
        if written != self.tokens {
            return Err(format!("{}: wrote {written:?} in parts", self.name));
        }
        Ok(())
    }
}
