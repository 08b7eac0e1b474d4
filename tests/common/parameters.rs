//! The parameters of a module as a list.

use wgpu_rnn::Params;
use wgpu_rnn::internals::params::DirectionParams;

/// All parameters, in the order of `nn.Module.parameters()`.
pub fn in_order(params: &Params) -> Vec<&[f32]> {
    let config = params.config();
    (0..config.num_layers)
        .flat_map(|layer| {
            (0..config.num_directions()).map(move |direction| params.direction(layer, direction))
        })
        .flat_map(|of: &DirectionParams| {
            let DirectionParams { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_p } =
                of;
            [weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_p].map(Vec::as_slice)
        })
        .filter(|values| !values.is_empty())
        .collect()
}
