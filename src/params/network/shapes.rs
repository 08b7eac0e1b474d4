//! The shapes of a network's values, and their checks in PyTorch's words.

use super::node::{Op, StepShape};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::Shape(message))
}

/// The most values of a step. Kernels count the values of a buffer in 32 bits.
const MOST_VALUES: usize = 1 << 30;

/// Checks the size of a step's value.
pub(super) fn check_count(label: &str, shape: StepShape) -> Result<()> {
    if shape.count() > MOST_VALUES {
        return refuse(format!(
            "{label}: a step of {:?} values; kernels count at most {MOST_VALUES}",
            shape.sizes()
        ));
    }
    Ok(())
}

/// Checks the shape of a network's input.
pub(super) fn check_input(shape: StepShape) -> Result<()> {
    if shape.sizes().contains(&0) {
        return refuse(format!(
            "Sequential: the input of a step has the shape {:?}; each size must \
             be greater than zero",
            shape.sizes()
        ));
    }
    check_count("input", shape)
}

/// Checks that a weight has no size of 0.
pub(super) fn positive(module: &str, prefix: &str, weight: &Tensor) -> Result<()> {
    if weight.shape().contains(&0) {
        return refuse(format!(
            "{prefix}: {module}: the weight has the shape {:?}; each size must \
             be greater than zero",
            weight.shape()
        ));
    }
    Ok(())
}

/// Returns F of `[F]`.
pub(super) fn features(module: &str, shape: StepShape) -> Result<usize> {
    match shape {
        StepShape::Features(features) => Ok(features),
        StepShape::Channels(sizes) => {
            refuse(format!("{module} reads [F] values of a step, but got {sizes:?}; add flatten()"))
        }
        StepShape::Token => refuse(format!("{module} reads values, but got tokens; embed them")),
    }
}

/// Returns the size of the last axis: F of `[F]`, L of `[C, L]`.
pub(super) fn last_axis(module: &str, shape: StepShape) -> Result<usize> {
    match shape {
        StepShape::Channels([_, length]) => Ok(length),
        other => features(module, other),
    }
}

/// Returns the channels of a value: C of `[C, L]`, F of `[F]`.
pub(super) fn channels(shape: StepShape) -> usize {
    match shape {
        StepShape::Features(channels) | StepShape::Channels([channels, _]) => channels,
        StepShape::Token => 0,
    }
}

/// Returns the shape of `[C·L]` as `[C, L]`.
pub(super) fn unflatten(shape: StepShape, sizes: [usize; 2]) -> Result<StepShape> {
    let features = features("unflatten", shape)?;
    if sizes.contains(&0) || sizes[0].checked_mul(sizes[1]) != Some(features) {
        return refuse(format!(
            "unflatten: Provided sizes {sizes:?} don't multiply up to the size of dim -1 \
             ({features}) in the input tensor"
        ));
    }
    Ok(StepShape::Channels(sizes))
}

/// Returns the shape of joined features or channels.
pub(super) fn concat(shapes: &[StepShape]) -> Result<StepShape> {
    let Some((&first, rest)) = shapes.split_first() else {
        return refuse("concat: expected a non-empty list of names".to_owned());
    };
    let unlike = |other: StepShape| {
        refuse(format!(
            "concat: Sizes of tensors must match except in dimension 1: {:?} and {:?}",
            first.sizes(),
            other.sizes()
        ))
    };
    let mut total = channels(first);
    for &shape in rest {
        match (first, shape) {
            (StepShape::Features(_), StepShape::Features(_)) => {}
            (StepShape::Channels([_, a]), StepShape::Channels([_, b])) if a == b => {}
            _ => return unlike(shape),
        }
        total = channels(shape).saturating_add(total);
    }
    match first {
        StepShape::Features(_) => Ok(StepShape::Features(total)),
        StepShape::Channels([_, length]) => Ok(StepShape::Channels([total, length])),
        StepShape::Token => refuse("concat: tokens have no features; embed them".to_owned()),
    }
}

/// Returns the shape of a sum or product.
pub(super) fn join(a: StepShape, b: StepShape) -> Result<StepShape> {
    let is_token = [a, b].contains(&StepShape::Token);
    let one_feature = b == StepShape::Features(1) && matches!(a, StepShape::Features(_));
    if is_token || (a != b && !one_feature) {
        return refuse(format!(
            "The size of tensor a {:?} must match the size of tensor b {:?}",
            a.sizes(),
            b.sizes()
        ));
    }
    Ok(a)
}

/// Checks that a LayerNorm normalises as many features as a step has.
pub(super) fn normalized(label: &str, wanted: usize, features: usize) -> Result<()> {
    if features != wanted {
        return refuse(format!(
            "{label}: Given normalized_shape=[{wanted}], expected input with shape [*, {wanted}], \
             but got input of size [*, {features}]"
        ));
    }
    Ok(())
}

/// Returns the shape of an operation's value, for one that reads a single value.
pub(super) fn of(op: &Op, x: StepShape, label: &str) -> Result<StepShape> {
    let of_features = |module| features(&format!("{label}: {module}"), x);
    match op {
        &Op::Linear { features: wanted, out } => {
            let features = of_features("Linear")?;
            if features != wanted {
                return refuse(format!(
                    "{label}: mat1 and mat2 shapes cannot be multiplied (rows x {features} and \
                     {wanted}x{out})"
                ));
            }
            Ok(StepShape::Features(out))
        }
        &Op::Conv1d { channels: per_group, out, kernel, conv, .. } => {
            let in_channels = per_group * conv.groups;
            if x == StepShape::Token {
                return of_features("Conv1d").map(StepShape::Features);
            }
            if !out.is_multiple_of(conv.groups) {
                return refuse(format!(
                    "{label}: out_channels must be divisible by groups: {out} and {}",
                    conv.groups
                ));
            }
            if channels(x) != in_channels {
                return refuse(format!(
                    "{label}: Given groups={}, weight of size {:?}, expected input {:?} to have \
                     {in_channels} channels, but got {} channels instead",
                    conv.groups,
                    [out, per_group, kernel],
                    x.sizes(),
                    channels(x)
                ));
            }
            Ok(match x {
                StepShape::Channels([_, length]) => {
                    StepShape::Channels([out, conv.output_length(length, kernel)?])
                }
                _ => StepShape::Features(out),
            })
        }
        Op::Embedding { features, .. } => match x {
            StepShape::Token => Ok(StepShape::Features(*features)),
            other => refuse(format!(
                "{label}: Embedding reads tokens, but a step has {:?} values",
                other.sizes()
            )),
        },
        Op::Rnn(config) => {
            let features = of_features(config.kind.module())?;
            if features != config.input_size {
                return refuse(format!(
                    "{label}: input.size(-1) must be equal to input_size. Expected {}, got \
                     {features}",
                    config.input_size
                ));
            }
            Ok(StepShape::Features(config.output_size()))
        }
        Op::LayerNorm(_) | Op::Softmax { .. } => last_axis(label, x).map(|_| x),
        Op::Magnitude => match x {
            StepShape::Features(features) if features.is_multiple_of(2) => {
                Ok(StepShape::Features(features / 2))
            }
            StepShape::Channels([channels, length]) if channels.is_multiple_of(2) => {
                Ok(StepShape::Channels([channels / 2, length]))
            }
            other => refuse(format!(
                "magnitude reads real and imaginary halves, but a step has {:?} values",
                other.sizes()
            )),
        },
        Op::Flatten => match x {
            channels @ StepShape::Channels(_) => Ok(StepShape::Features(channels.count())),
            other => Ok(other),
        },
        Op::Scale | Op::Function(_) if x == StepShape::Token => {
            of_features("a function").map(StepShape::Features)
        }
        // The caller gives the shapes of those that read several values.
        _ => Ok(x),
    }
}
