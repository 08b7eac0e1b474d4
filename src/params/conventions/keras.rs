//! Keras: matrices of inputs by gates.

use super::Converted;
use super::arrays::Arrays;
use crate::error::Result;
use crate::params::blocks::reordered;
use crate::params::config::{Config, Kind};
use crate::params::module::DirectionParams;
use crate::params::variant::{Reset, Variant};

/// The place in Keras' order of each gate in PyTorch's.
const fn gates(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::RnnTanh | Kind::RnnRelu => &[0],
        Kind::Gru => &[1, 0, 2],
        Kind::Lstm => &[0, 1, 2, 3],
    }
}

pub fn convert(kind: Kind, arrays: &mut Arrays<'_>) -> Result<Converted> {
    let order = gates(kind);
    let recurrent = arrays.matrix("recurrent_kernel")?;
    let (hidden, rows) = (recurrent.rows, recurrent.columns);
    if rows != order.len() * hidden {
        return Err(arrays.refuse(format!(
            "recurrent_kernel has shape [{hidden}, {rows}]: expected [{hidden}, {}] of {}",
            order.len() * hidden,
            kind.module()
        )));
    }
    let kernel = arrays.matrix("kernel")?;
    let shape = arrays.shape("bias").map(<[usize]>::to_vec);
    let (bias_ih, bias_hh, reset) = match (kind, shape.as_deref()) {
        (Kind::Gru, None) => {
            return Err(arrays.refuse(format!(
                "a GRU without bias: nothing says whether its reset gate is before the product. \
                 Add a bias of zeros: [2, {rows}] for reset_after=True, [{rows}] for False"
            )));
        }
        (_, None) => (Vec::new(), Vec::new(), Reset::AfterProduct),
        (Kind::Gru, Some([_, _])) => {
            let both = arrays.vector("bias", &[2, rows])?;
            let (of_x, of_h) = both.split_at(rows);
            (reordered(of_x, order)?, reordered(of_h, order)?, Reset::AfterProduct)
        }
        _ => {
            let bias = arrays.vector("bias", &[rows])?;
            let reset = if kind == Kind::Gru { Reset::BeforeProduct } else { Reset::AfterProduct };
            (reordered(&bias, order)?, vec![0.0; rows], reset)
        }
    };
    let input = kernel.rows;
    arrays.check("kernel", &kernel, [input, rows])?;
    let config = Config::new(kind, input, hidden)
        .bias(!bias_ih.is_empty())
        .variant(Variant { reset, ..Variant::PYTORCH });
    let params = DirectionParams {
        weight_ih: kernel.transposed(0..input, order)?,
        weight_hh: recurrent.transposed(0..hidden, order)?,
        bias_ih,
        bias_hh,
        weight_hr: Vec::new(),
        weight_p: Vec::new(),
    };
    Ok(Converted { config, params })
}
