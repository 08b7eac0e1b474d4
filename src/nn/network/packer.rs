//! Copies between the tensors of a call and the buffers of a network's plan.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::nn::rows::Rows;
use crate::params::network::StepShape;
use crate::params::validate::Sizes;
use crate::plan::Value;
use crate::tensor::{TensorView, element_count, zeroed};

/// The input of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub shape: &'a [usize],
    pub values: Values<'a>,
}

/// The values of an input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    Reals(&'a [f32]),
    Tokens(&'a [i64]),
}

impl<'a> From<TensorView<'a>> for Input<'a> {
    fn from(tensor: TensorView<'a>) -> Self {
        Self { shape: tensor.shape(), values: Values::Reals(tensor.data()) }
    }
}

impl<'a> From<(&'a [i64], &'a [usize])> for Input<'a> {
    fn from((tokens, shape): (&'a [i64], &'a [usize])) -> Self {
        Self { shape, values: Values::Tokens(tokens) }
    }
}

/// The sizes of an input, and whether it has a batch axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub sizes: Sizes,
    pub unbatched: bool,
}

impl Input<'_> {
    /// Checks an input of steps with the shape `step`. Tokens are less than `tokens`.
    ///
    /// # Errors
    /// [`Error::Shape`] when its shape does not fit; [`Error::TensorSize`] when tokens do not fill
    /// it; [`Error::Option`] for a token out of range.
    pub fn check(&self, step: StepShape, tokens: usize, batch_first: bool) -> Result<Checked> {
        let wanted = step.sizes();
        let leading = self.shape.len().checked_sub(wanted.len());
        let axes = if batch_first { "B, T" } else { "T, B" };
        let list: String = wanted.iter().map(|size| format!(", {size}")).collect();
        let fits =
            leading.is_some_and(|count| (1..=2).contains(&count) && self.shape[count..] == wanted);
        let is_tokens = matches!(self.values, Values::Tokens(_));
        if !fits || is_tokens != (step == StepShape::Token) {
            let what = if step == StepShape::Token { "tokens" } else { "values" };
            let got = if is_tokens { "tokens" } else { "values" };
            return Err(Error::Shape(format!(
                "Network: Expected {what} of shape [{axes}{list}] or [T{list}], got {got} of shape \
                 {:?}",
                self.shape
            )));
        }
        let sizes = match (&self.shape[..leading.unwrap_or(0)], batch_first) {
            (&[batch, seq_len], true) | (&[seq_len, batch], _) => Sizes { seq_len, batch },
            (leading, _) => Sizes { seq_len: leading[0], batch: 1 },
        };
        if sizes.seq_len == 0 {
            return Err(Error::Shape("Expected sequence length to be larger than 0".to_owned()));
        }
        if let Values::Tokens(values) = self.values {
            let expected = element_count(self.shape).unwrap_or(usize::MAX);
            if expected != values.len() {
                let (shape, found) = (self.shape.to_vec(), values.len());
                return Err(Error::TensorSize { shape, expected, found });
            }
            let outside = |token: &i64| usize::try_from(*token).map_or(true, |at| at >= tokens);
            if let Some(token) = values.iter().find(|token| outside(token)) {
                return Err(Error::Option(format!(
                    "index out of range in self: found {token}, expected 0 to {}",
                    tokens - 1
                )));
            }
        }
        Ok(Checked { sizes, unbatched: leading == Some(1) })
    }
}

/// A part of a call: some steps of some rows.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub steps: Range<usize>,
    pub rows: Range<usize>,
}

/// The layout of a tensor of a call, whose steps lie in a plan's buffer as a value has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packer {
    pub value: Value,
    /// T and B of the whole tensor.
    pub sizes: Sizes,
    pub batch_first: bool,
}

impl Packer {
    /// Returns the index of a step of a row among those of the tensor.
    fn place(&self, step: usize, row: usize) -> usize {
        let Sizes { seq_len, batch } = self.sizes;
        if self.batch_first { row * seq_len + step } else { step * batch + row }
    }

    /// Returns whether the tensor has the rows of a part in the order of the plan's buffer.
    fn is_in_order(&self, part: &Part) -> bool {
        part.rows.len() == self.sizes.batch && (!self.batch_first || part.rows.len() == 1)
    }

    /// Returns a part of the input as the plan's buffer has it, in `packed` unless the tensor has
    /// it so already.
    pub fn pack<'v>(
        &self,
        values: Values<'v>,
        part: &Part,
        packed: &'v mut Vec<f32>,
    ) -> Result<&'v [f32]> {
        let (width, stride) = (self.value.width(), self.value.stride());
        let in_order = self.is_in_order(part);
        let whole =
            part.steps.start * self.sizes.batch * width..part.steps.end * self.sizes.batch * width;
        if let (Values::Reals(values), true) = (values, in_order && width == stride) {
            return Ok(&values[whole]);
        }
        let count = part.steps.len() * part.rows.len() * stride;
        if packed.len() != count {
            packed.clear();
            *packed = zeroed(count, "packed values")?;
        }
        match values {
            Values::Reals(values) if in_order => {
                Rows { width, from: width, to: stride }.copy(&values[whole], packed);
            }
            _ => {
                let places = part
                    .steps
                    .clone()
                    .flat_map(|step| part.rows.clone().map(move |row| (step, row)));
                for ((step, row), to) in places.zip(packed.chunks_exact_mut(stride)) {
                    let at = self.place(step, row);
                    match values {
                        Values::Reals(values) => {
                            to[..width].copy_from_slice(&values[at * width..][..width]);
                        }
                        Values::Tokens(tokens) => to[0] = f32::from_bits(tokens[at] as u32),
                    }
                }
            }
        }
        Ok(packed)
    }

    /// Copies the values of a part from the plan's buffer to the output.
    pub fn unpack(&self, packed: &[f32], part: &Part, output: &mut [f32]) {
        let (count, stride) = (self.value.shape.count(), self.value.stride());
        let (positions, width) = (self.value.positions(), self.value.width());
        let block = positions * stride;
        let in_order = self.is_in_order(part);
        if in_order && positions == 1 {
            let of_step = self.sizes.batch * count;
            let output = &mut output[part.steps.start * of_step..part.steps.end * of_step];
            return Rows { width, from: stride, to: width }.copy(packed, output);
        }
        let places =
            part.steps.clone().flat_map(|step| part.rows.clone().map(move |row| (step, row)));
        for ((step, row), from) in places.zip(packed.chunks_exact(block)) {
            let to = &mut output[self.place(step, row) * count..][..count];
            // [L, C] with padding to [C, L].
            for (position, from) in from.chunks_exact(stride).enumerate() {
                let to = to[position..].iter_mut().step_by(positions);
                to.zip(&from[..width]).for_each(|(to, from)| *to = *from);
            }
        }
    }
}
